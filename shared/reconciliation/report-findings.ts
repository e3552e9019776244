import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import type { AlertMessage, SendAlert } from '../notification/alert.ts';
import type { EventBus, OutgoingEvent } from '../notification/event-bus.ts';
import { settle } from '../state/outbox.ts';
import { type Records, recordsOf } from '../state/records.ts';
import { effectOf, urgent } from './effects.ts';
import { type Finding, findingOutcome } from './finding.ts';
import {
  type FindingsAlert,
  type Look,
  looked,
  newly,
  noFindings,
  type OpenFindings,
} from './open-findings.ts';

export type FindingsState = Records<OpenFindings, FindingsAlert>;

const state = z.object({
  open: z.array(z.string()),
  asked: z.number().exactOptional(),
  since: z.string().exactOptional(),
  changes: z.array(z.object({ at: z.string(), digests: z.array(z.string()) })).exactOptional(),
});
const alert = z.object({
  state: z.enum(['found', 'recovered']),
  since: z.string(),
  at: z.string(),
  count: z.number(),
  needPerson: z.number().exactOptional(),
  examples: z.array(
    z.object({
      secret: z.string(),
      explanation: z.string(),
      outcome: findingOutcome,
    }),
  ),
});

/** What is open, under `findings#{kind}`. */
export const findingsState = (dynamo: DynamoDBClient, table: string): FindingsState =>
  recordsOf(dynamo, table, { kind: 'findings', state, alert });

export interface ReportParts<Found extends Finding = Finding> {
  readonly records: FindingsState;
  readonly bus: EventBus;
  /** What is published of a finding that is new. */
  readonly eventOf: (finding: Found, at: Date) => OutgoingEvent;
  readonly send: SendAlert;
  readonly runbookUrl: string;
  readonly now: () => Date;
}

/**
 * Tells of what a look at the fleet found: an event for each finding that is new, and one alert an episode of its kind, for
 * however many secrets: SNS turns an e-mail subscription off above ten messages a second. Call it for each kind, also where
 * nothing was found: that is what ends an episode.
 *
 * Events go first: killed between the two, the next look publishes them again, and consumers go by ids.
 */
export async function reportFindings<Found extends Finding>(
  kind: string,
  look: Look<Found>,
  { records, bus, eventOf, send, runbookUrl, now }: ReportParts<Found>,
): Promise<void> {
  const known = await records.read(kind);
  const fresh = newly(known?.state ?? noFindings, look, now());
  if (fresh.length > 0) await bus.publish(fresh.map((finding) => eventOf(finding, now())));
  await settle<OpenFindings, FindingsAlert>(
    kind,
    (before, time) => looked(before ?? noFindings, look, time),
    { records, now, send: (owed, signal) => send(messageOf(kind, owed, runbookUrl), signal) },
  );
}

/**
 * Tells of several kinds, none of which keeps the others from being told. `assertAllTold` comes after the last: it throws what
 * failed first, so that the delivery is repeated.
 */
export function reportsOf<Found extends Finding>(parts: ReportParts<Found>) {
  let failure: { readonly error: unknown } | undefined;
  return {
    async report(kind: string, look: Look<Found>): Promise<void> {
      try {
        await reportFindings(kind, look, parts);
      } catch (error) {
        failure ??= { error };
      }
    },
    assertAllTold(): void {
      if (failure) throw failure.error;
    },
  };
}

function messageOf(
  kind: string,
  { state, since, at, count, needPerson = 0, examples }: FindingsAlert,
  runbookUrl: string,
): AlertMessage {
  const words = kind.replaceAll('-', ' ');
  const ofKind = { backend: `finding:${kind}`, state, since, at, runbook: `${runbookUrl}/${kind}.md` };
  if (state === 'recovered') {
    return { what: `no secret is left: ${words}`, ...ofKind, urgency: 'none', affects: 'nothing any more' };
  }
  const secrets = count === 1 ? '1 secret' : `${count} secrets`;
  const asks =
    needPerson === 0 ? 'nobody is needed' : `${needPerson} need${needPerson === 1 ? 's' : ''} a person`;
  const more = count > examples.length ? [`and ${count - examples.length} more`] : [];
  return {
    what: `${words}: ${secrets}, ${asks}`,
    ...ofKind,
    urgency: needPerson === 0 ? 'none' : urgent.has(kind) ? 'page' : 'ticket',
    affects: effectOf(kind),
    secrets: [
      ...examples.map(({ secret, explanation, outcome }) => `${secret}: ${explanation} (${outcome})`),
      ...more,
    ],
  };
}
