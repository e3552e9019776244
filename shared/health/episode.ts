/** `degraded`: it still works, and will not for long. `unhealthy`: it does not work. */
export interface Problem {
  readonly severity: 'degraded' | 'unhealthy';
  /** In words for on-call: no value of a secret, no message of a library. */
  readonly reason: string;
}
export interface Alert {
  readonly kind: 'opened' | 'recovered';
  readonly since: string;
  readonly at: string;
  /** Of the probe that opened the episode. */
  readonly problem?: Problem;
}
export interface Probe {
  readonly at: string;
  /** None: all is well. */
  readonly problem?: Problem;
}
export interface Health {
  /** The severity that the open episode began with; `healthy` where none is open. */
  readonly state: 'healthy' | Problem['severity'];
  /** The latest probes, oldest first. */
  readonly recent: readonly Probe[];
  /** When the open episode's first failed probe was. */
  readonly since?: string;
}
export interface EpisodeRule {
  readonly window: number;
  readonly failures: number;
}

export const unprobed: Health = { state: 'healthy', recent: [] };
export const defaultRule: EpisodeRule = { window: 3, failures: 2 };

/**
 * An episode opens at `failures` of the last `window` probes, and ends once the whole window is good: so it can't flap.
 *
 * @example
 * probed(unprobed, { at, problem: { severity: 'unhealthy', reason: 'Vault is sealed' } }).alert; // undefined: one of three
 */
export function probed(
  before: Health,
  probe: Probe,
  rule: EpisodeRule = defaultRule,
): { readonly health: Health; readonly alert?: Alert } {
  const recent = [...before.recent, probe].slice(-rule.window);
  const failed = recent.filter(({ problem }) => problem !== undefined);
  if (before.state !== 'healthy') {
    const since = before.since ?? probe.at;
    if (failed.length > 0 || recent.length < rule.window)
      return { health: { state: before.state, recent, since } };
    return { health: { state: 'healthy', recent }, alert: { kind: 'recovered', since, at: probe.at } };
  }
  const problem = probe.problem ?? failed.at(-1)?.problem;
  if (!problem || failed.length < rule.failures) return { health: { state: 'healthy', recent } };
  const since = failed[0]?.at ?? probe.at;
  return {
    health: { state: problem.severity, recent, since },
    alert: { kind: 'opened', since, at: probe.at, problem },
  };
}
