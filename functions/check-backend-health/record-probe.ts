import { type Alert, probed, unprobed } from '../../shared/health/episode.ts';
import type { HealthState } from '../../shared/state/health-state.ts';

/** Longer than the function may run, so whoever holds a claim that ran out is gone. */
const claimMs = 45_000;

/**
 * Records a probe and sends what it owes. The alert is stored with the state and taken out once sent: a crash between
 * the two sends it on a later run. The claim keeps a concurrent run from sending the same. Only a crash right after SNS
 * took the message can send it twice.
 */
export async function recordProbe(
  backend: string,
  ok: boolean,
  runId: string,
  parts: { state: HealthState; send: (backend: string, alert: Alert) => Promise<void>; now: () => Date },
): Promise<void> {
  const { state, send, now } = parts;
  const before = await state.read(backend);
  const time = now();
  const repeated = before?.lastRunId === runId;
  const step = repeated
    ? { health: before.health, alert: undefined }
    : probed(before?.health ?? unprobed, { ok, at: time.toISOString() });
  const outbox = [...(before?.outbox ?? []), ...(step.alert ? [step.alert] : [])];
  const claimed = (before?.claimedUntil ?? 0) > time.getTime();
  const sends = outbox.length > 0 && !claimed;
  if (repeated && !sends) return;
  const next = {
    revision: before?.revision ?? 0,
    lastRunId: runId,
    health: step.health,
    outbox,
    claimedUntil: sends ? time.getTime() + claimMs : (before?.claimedUntil ?? 0),
  };
  if (!(await state.write(backend, next))) return;
  if (!sends) return;
  for (const alert of outbox) await send(backend, alert);
  await state.write(backend, { ...next, revision: next.revision + 1, outbox: [], claimedUntil: 0 });
}
