import type { Logger } from '@aws-lambda-powertools/logger';
import * as z from 'zod';
import { parsed, UnexpectedShapeError } from '../../events/contract.ts';
import { secretAdopted } from '../../events/secret-adopted/event.ts';
import { agentSource } from '../../shared/notification/agent-names.ts';
import type { Count } from '../../shared/observability/metrics.ts';
import type { Adoptions } from '../../shared/state/adoptions.ts';

export interface RecordAdoptionDependencies extends Adoptions {
  /** What the ARNs of this deployment's secrets begin with: its partition, region and account. */
  readonly ownArns: string;
  readonly log: Pick<Logger, 'warn'>;
  readonly count: Count;
}

/**
 * Keeps which version an agent instance uses, for `keyturn status`. The record converges under events that repeat or
 * overtake; see `adoptionsIn`. An instance whose clock is ahead is dated by the bus: else what it says next would look older,
 * and the record would stay as it is.
 *
 * Agents publish these themselves. What breaks the contract is logged and counted, and ends well: repeated it would break it
 * again, and as a dead letter it would let one agent hide what was lost of others.
 */
export async function recordAdoption(
  input: unknown,
  { keep, ownArns, log, count }: RecordAdoptionDependencies,
): Promise<void> {
  const event = acceptable(input, ownArns);
  if (event instanceof UnexpectedShapeError) {
    log.warn('Adoption refused', { source: sourceOf(input), errorClass: event.name, reason: event.message });
    count('Adoptions', { outcome: 'refused' });
    return;
  }
  const { detail, time } = event;
  const { secretArn, agentInstanceId, versionId, adoptedAt } = detail;
  // The bus tells whole seconds.
  const latest = Date.parse(time) + 999;
  await keep({
    secretArn,
    agentInstanceId,
    versionId,
    adoptedAt: new Date(Math.min(Date.parse(adoptedAt), latest)).toISOString(),
  });
}

/** The event, where it keeps to its contract and is of this deployment. */
function acceptable(
  input: unknown,
  ownArns: string,
): z.output<typeof secretAdopted.schema> | UnexpectedShapeError {
  const [, , , ownRegion, ownAccount] = ownArns.split(':');
  const ours = secretAdopted.schema
    .refine(({ account, region }) => account === ownAccount && region === ownRegion, {
      path: ['account'],
      error: 'expected the account and region of the deployment',
    })
    .refine(({ detail: { secretArn } }) => secretArn.startsWith(ownArns), {
      path: ['detail', 'secretArn'],
      error: 'expected a secret of the account and region of the deployment',
    });
  try {
    return parsed('Secret Adopted', ours, input);
  } catch (error) {
    if (error instanceof UnexpectedShapeError) return error;
    throw error;
  }
}

/** An agent's source as IAM lets it be, or undefined: whoever may write another one could write into the log. */
function sourceOf(input: unknown): string | undefined {
  const source = z
    .object({
      source: z
        .string()
        .max(256)
        .startsWith(agentSource(''))
        .regex(/^[\w.-]+$/),
    })
    .safeParse(input);
  return source.data?.source;
}
