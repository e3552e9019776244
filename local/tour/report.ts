import Table from 'cli-table3';
import pc from 'picocolors';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
}

/** What `npm start -- --report FILE` writes. */
export interface Report {
  readonly rotations: number;
  readonly queries: { readonly total: number; readonly failed: number };
  /** From the move of AWSCURRENT to the agent's first answered query with the new login. */
  readonly propagationMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly mirrors: { readonly inSync: number; readonly behind: number };
  readonly alerts: readonly { readonly backend: string; readonly state: string }[];
  readonly secretsManagerCallsPerRotation: number;
  readonly revokedLoginsRefused: number;
  readonly checks: readonly Check[];
}

/** Nearest rank: the smallest value that at least `share` of all are no larger than. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function table(report: Report): string {
  const { queries, propagationMs, mirrors } = report;
  const figures = new Table({ head: ['', ''], style: { head: [] } });
  figures.push(
    ['Rotations', report.rotations],
    ['Queries by the agents', `${queries.total}, ${queries.failed} failed`],
    [
      'From the label to the agent',
      `p50 ${Math.round(propagationMs.p50)} ms, p99 ${Math.round(propagationMs.p99)} ms, max ${Math.round(propagationMs.max)} ms`,
    ],
    ['Mirrors in Vault', `${mirrors.inSync} in sync, ${mirrors.behind} behind`],
    ['Secrets Manager calls a rotation', report.secretsManagerCallsPerRotation],
    ['Old logins refused', report.revokedLoginsRefused],
    ['Alerts', report.alerts.map(({ backend, state }) => `${backend}: ${state}`).join('\n')],
  );
  const checks = new Table({ head: ['', 'Check'], style: { head: [] } });
  for (const { name, ok } of report.checks) checks.push([ok ? pc.green('ok') : pc.red('FAILED'), name]);
  return `${figures.toString()}\n${checks.toString()}`;
}
