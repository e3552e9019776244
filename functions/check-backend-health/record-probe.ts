import { type Alert, type EpisodeRule, type Problem, probed, unprobed } from '../../shared/health/episode.ts';
import type { HealthState } from '../../shared/state/health-state.ts';
import { settle } from '../../shared/state/outbox.ts';

export interface ProbeRecord {
  readonly state: HealthState;
  readonly rule: EpisodeRule;
  readonly send: (backend: string, alert: Alert, signal: AbortSignal) => Promise<void>;
  readonly now: () => Date;
}

/** Records a probe and sends the alert that it owes. A run that is repeated counts once. */
export async function recordProbe(
  backend: string,
  problem: Problem | undefined,
  runId: string,
  { state, rule, send, now }: ProbeRecord,
): Promise<void> {
  await settle(
    backend,
    (before, time) => {
      if (before?.lastRunId === runId) return undefined;
      const probe = { at: time.toISOString(), ...(problem && { problem }) };
      const { health, alert } = probed(before?.health ?? unprobed, probe, rule);
      return { state: { lastRunId: runId, health }, alert };
    },
    { records: state, send: (alert, signal) => send(backend, alert, signal), now },
  );
}
