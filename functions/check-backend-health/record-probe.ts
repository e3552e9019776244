import { type Alert, probed, unprobed } from '../../shared/health/episode.ts';
import type { HealthState } from '../../shared/state/health-state.ts';
import { settle } from '../../shared/state/outbox.ts';

/** Records a probe and sends the alert that it owes. A run that is repeated counts once. */
export async function recordProbe(
  backend: string,
  ok: boolean,
  runId: string,
  parts: { state: HealthState; send: (backend: string, alert: Alert) => Promise<void>; now: () => Date },
): Promise<void> {
  await settle(
    backend,
    (before, now) => {
      if (before?.lastRunId === runId) return undefined;
      const { health, alert } = probed(before?.health ?? unprobed, { ok, at: now.toISOString() });
      return { state: { lastRunId: runId, health }, alert };
    },
    { records: parts.state, send: (alert) => parts.send(backend, alert), now: parts.now },
  );
}
