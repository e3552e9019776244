import { randomUUID } from 'node:crypto';
import type { Kept, Records } from './records.ts';

/**
 * A claim is of one alert, and longer than its send may take. Both are counted from before the claim is written, so whoever holds
 * one has given the send up, or was killed, when another run may send: 25 s lie between, by which their clocks may differ.
 */
const claimMs = 45_000;
const sendMs = 20_000;
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
  /** Nothing may be sent once the signal is aborted: another run may send the alert then. */
  readonly send: (alert: Alert, signal: AbortSignal) => Promise<void>;
  readonly now: () => Date;
}

/**
 * Takes a step of what is known under a key, and sends the alerts that it owes. `step` gives undefined where it learns
 * nothing new: an event that was seen.
 *
 * Alerts are stored with the state, and each is taken out once sent, so a crash between the two sends it on a later run, and a
 * claim keeps concurrent runs from sending the same. Only a crash right after SNS took the message, or a reply that was lost, can
 * send it twice.
 *
 * Each write that claims has a name of its own. Where its reply was lost and the SDK asked again, the table says that another was
 * first: a record that bears the name tells that it was this very write.
 *
 * @throws RecordContendedError, and what `send` fails with: the delivery is to come again, and sends what is left.
 */
export async function settle<State, Alert>(
  key: string,
  step: (before: State | undefined, now: Date) => Step<State, Alert> | undefined,
  { records, send, now }: OutboxParts<State, Alert>,
): Promise<void> {
  let claim = randomUUID();
  const claimed = () => ({ claimedUntil: now().getTime() + claimMs, claimedBy: claim });
  let owed = await updated(key, claim, records, (before) => {
    const time = now();
    const taken = step(before?.state, time);
    const outbox = [...(before?.outbox ?? []), ...(taken?.alert === undefined ? [] : [taken.alert])];
    const { claimedUntil = 0, claimedBy } = before ?? {};
    const sends = outbox.length > 0 && claimedUntil <= time.getTime();
    const known = taken ?? (sends ? before : undefined);
    return known && { state: known.state, outbox, ...(sends ? claimed() : { claimedUntil, claimedBy }) };
  });
  // Whoever comes meanwhile only adds to the end of the outbox: the holder of the claim sends those too.
  while (owed) {
    const [alert] = owed.outbox;
    if (alert === undefined) return;
    const signal = abortedAfter(Math.min(sendMs, owed.claimedUntil - claimMs + sendMs - now().getTime()));
    await send(alert, signal);
    const held = claim;
    claim = randomUUID();
    owed = await updated(key, claim, records, (before) => {
      // Of a claim that ran out, another run makes what it will.
      if (before?.claimedBy !== held) return undefined;
      const outbox = before.outbox.slice(1);
      const unclaimed = { claimedUntil: 0, claimedBy: undefined };
      return { state: before.state, outbox, ...(outbox.length > 0 ? claimed() : unclaimed) };
    });
  }
}

/** A timer of 0 ms fires only after the send has begun. */
const abortedAfter = (ms: number): AbortSignal => (ms > 0 ? AbortSignal.timeout(ms) : AbortSignal.abort());

type Unwritten<State, Alert> = Omit<Kept<State, Alert>, 'revision'>;

/** Reads, changes and writes until no other run came between. Gives the record where the claim on its alerts is this run's. */
async function updated<State, Alert>(
  key: string,
  claim: string,
  records: Records<State, Alert>,
  change: (before: Kept<State, Alert> | undefined) => Unwritten<State, Alert> | undefined,
): Promise<Unwritten<State, Alert> | undefined> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const before = await records.read(key);
    if (before?.claimedBy === claim) return before;
    const next = change(before);
    if (!next) return undefined;
    if (await records.write(key, { ...next, revision: before?.revision ?? 0 }))
      return next.claimedBy === claim ? next : undefined;
  }
  throw new RecordContendedError();
}
