import { randomUUID } from 'node:crypto';
import type { Kept, Records } from './records.ts';

/** Longer than a function may run, so whoever holds a claim that ran out is gone. */
const claimMs = 45_000;
const attempts = 20;

/** Other runs wrote first, every time. The delivery is to come again. */
export class RecordContendedError extends Error {
  override readonly name = 'RecordContendedError';
  constructor() {
    super('Other runs kept changing the record');
  }
}

export interface Step<State, Alert> {
  readonly state: State;
  readonly alert?: Alert | undefined;
}

export interface OutboxParts<State, Alert> {
  readonly records: Records<State, Alert>;
  readonly send: (alert: Alert) => Promise<void>;
  readonly now: () => Date;
}

/**
 * Takes a step of what is known under a key, and sends the alert that it owes. `step` gives undefined where it learns
 * nothing new: an event that was seen.
 *
 * The alert is stored with the state and taken out once sent, so a crash between the two sends it on a later run, and a
 * claim keeps concurrent runs from sending the same. Only a crash right after SNS took the message can send it twice.
 *
 * Each write that claims has a name of its own. Where its reply was lost and the SDK asked again, the table says that another was
 * first: a record that bears the name tells that it was this very write.
 */
export async function settle<State, Alert>(
  key: string,
  step: (before: State | undefined, now: Date) => Step<State, Alert> | undefined,
  { records, send, now }: OutboxParts<State, Alert>,
): Promise<void> {
  let claim = randomUUID();
  let alerts = await updated(key, claim, records, (before) => {
    const time = now();
    const taken = step(before?.state, time);
    const outbox = [...(before?.outbox ?? []), ...(taken?.alert === undefined ? [] : [taken.alert])];
    const { claimedUntil = 0, claimedBy } = before ?? {};
    const sends = outbox.length > 0 && claimedUntil <= time.getTime();
    const known = taken ?? (sends ? before : undefined);
    if (!known) return undefined;
    const claimed = sends
      ? { claimedUntil: time.getTime() + claimMs, claimedBy: claim }
      : { claimedUntil, claimedBy };
    return { next: { state: known.state, outbox, ...claimed }, alerts: sends ? outbox : [] };
  });
  // Whoever comes meanwhile only adds to the end of the outbox: the holder of the claim sends those too.
  while (alerts.length > 0) {
    for (const alert of alerts) await send(alert);
    const sent = alerts.length;
    const held = claim;
    claim = randomUUID();
    alerts = await updated(key, claim, records, (before) => {
      // Of a claim that ran out, another run makes what it will.
      if (before?.claimedBy !== held) return undefined;
      const outbox = before.outbox.slice(sent);
      const claimed =
        outbox.length > 0
          ? { claimedUntil: now().getTime() + claimMs, claimedBy: claim }
          : { claimedUntil: 0, claimedBy: undefined };
      return { next: { state: before.state, outbox, ...claimed }, alerts: outbox };
    });
  }
}

type Change<State, Alert> =
  | { readonly next: Omit<Kept<State, Alert>, 'revision'>; readonly alerts: readonly Alert[] }
  | undefined;

/** Reads, changes and writes until no other run came between. Gives the alerts that are this run's to send. */
async function updated<State, Alert>(
  key: string,
  claim: string,
  records: Records<State, Alert>,
  change: (before: Kept<State, Alert> | undefined) => Change<State, Alert>,
): Promise<readonly Alert[]> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const before = await records.read(key);
    if (before?.claimedBy === claim) return before.outbox;
    const changed = change(before);
    if (!changed) return [];
    if (await records.write(key, { ...changed.next, revision: before?.revision ?? 0 })) return changed.alerts;
  }
  throw new RecordContendedError();
}
