import pMap from 'p-map';
import type { Problem } from '../../shared/health/episode.ts';
import { errorClassOf } from '../../shared/observability/error-class.ts';
import type { Count } from '../../shared/observability/metrics.ts';
import { type ProbeRecord, recordProbe } from './record-probe.ts';

/** Gives the problem that it found, if any, or throws: then the backend is unhealthy for that reason. */
export type ProbeBackend = (deadlineMs: number) => Promise<Problem | undefined>;

export interface HealthCheck extends ProbeRecord {
  /** Of one run of the check. A run that is repeated has the same, and counts once. */
  readonly runId: string;
  readonly deadlineMs: number;
  readonly count: Count;
  readonly log: { warn(message: string, fields: Readonly<Record<string, string>>): void };
}

/** Servers that are probed at the same time: those that hang hold up the others no longer than a deadline. */
const atOnce = 50;

/** The state of some backends could not be kept, so an alert may be missing. The next run begins from what is kept. */
export class HealthNotRecordedError extends Error {
  override readonly name = 'HealthNotRecordedError';
}

/**
 * Probes each backend once, within the deadline, and records what it found. A backend that fails hinders no other.
 *
 * @throws HealthNotRecordedError once all are done.
 */
export async function checkBackends(
  backends: ReadonlyMap<string, ProbeBackend>,
  check: HealthCheck,
): Promise<void> {
  const failures = await pMap(backends, ([name, probe]) => checkBackend(name, probe, check), {
    concurrency: atOnce,
  });
  const names = failures.flatMap((name) => name ?? []);
  if (names.length > 0) throw new HealthNotRecordedError(`Not recorded: ${names.join(', ')}`);
}

/** Gives the backend's name where its health could not be recorded. */
async function checkBackend(
  name: string,
  probe: ProbeBackend,
  { runId, deadlineMs, log, count, ...record }: HealthCheck,
): Promise<string | undefined> {
  const problem = await withinDeadline(probe, deadlineMs);
  if (problem) {
    count('FailedProbes', { severity: problem.severity });
    log.warn('A probe failed', { backend: name, ...problem });
  }
  try {
    await recordProbe(name, problem, runId, record);
    return undefined;
  } catch (error) {
    log.warn('A probe could not be recorded', { backend: name, error: errorClassOf(error) });
    return name;
  }
}

async function withinDeadline(probe: ProbeBackend, deadlineMs: number): Promise<Problem | undefined> {
  const signal = AbortSignal.timeout(deadlineMs);
  const late = new Promise<Problem>((resolve) => {
    const reason = `No answer within ${deadlineMs / 1_000} s`;
    signal.addEventListener('abort', () => resolve({ severity: 'unhealthy', reason }), { once: true });
  });
  // Names only: a library's message may quote what it was given.
  const failed = (error: unknown): Problem => ({ severity: 'unhealthy', reason: errorClassOf(error) });
  return Promise.race([probe(deadlineMs).catch(failed), late]);
}
