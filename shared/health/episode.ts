export interface Alert {
  readonly kind: 'opened' | 'recovered';
  readonly since: string;
  readonly at: string;
}
export interface Health {
  readonly state: 'healthy' | 'degraded' | 'unhealthy';
  /** The latest probes, oldest first. */
  readonly recent: readonly { readonly ok: boolean; readonly at: string }[];
  /** When the open episode's first failed probe was. */
  readonly since?: string;
}
export interface EpisodeRule {
  readonly window: number;
  readonly failures: number;
}

export const unprobed: Health = { state: 'healthy', recent: [] };
export const defaultRule: EpisodeRule = { window: 3, failures: 2 };

/** An episode opens at `failures` of the last `window` probes, and ends once the whole window is good: so it can't flap. */
export function probed(
  before: Health,
  probe: { readonly ok: boolean; readonly at: string },
  rule: EpisodeRule = defaultRule,
): { readonly health: Health; readonly alert?: Alert } {
  const recent = [...before.recent, probe].slice(-rule.window);
  const failed = recent.filter(({ ok }) => !ok);
  if (before.state === 'unhealthy') {
    const since = before.since ?? probe.at;
    if (failed.length > 0 || recent.length < rule.window)
      return { health: { state: 'unhealthy', recent, since } };
    return { health: { state: 'healthy', recent }, alert: { kind: 'recovered', since, at: probe.at } };
  }
  const since = failed[0]?.at;
  if (since === undefined) return { health: { state: 'healthy', recent } };
  if (failed.length < rule.failures) return { health: { state: 'degraded', recent } };
  return { health: { state: 'unhealthy', recent, since }, alert: { kind: 'opened', since, at: probe.at } };
}
