import type { FleetSecret } from '../../shared/fleet/secrets.ts';
import { digest } from '../../shared/reconciliation/open-findings.ts';
import type { FleetState } from './state.ts';

/** What on-call was told of and isn't over. */
export interface Episode {
  /** `docs/runbook/{kind}.md` is its page. */
  readonly kind: string;
  readonly since?: string;
  /** How many secrets, those that are gone included. */
  readonly count: number;
  /** By name, where they still are. */
  readonly secrets: readonly string[];
}

export function episodesIn(
  { failing, findings }: FleetState,
  secrets: readonly Pick<FleetSecret, 'arn' | 'name'>[],
): readonly Episode[] {
  const byArn = new Map(secrets.map(({ arn, name }) => [arn, name]));
  const byDigest = new Map(secrets.map(({ arn, name }) => [digest(arn), name]));
  const first = failing.map(({ since }) => since).sort()[0];
  const rotations: Episode = {
    kind: 'rotation-failed',
    count: failing.length,
    secrets: failing.map(({ secretArn }) => byArn.get(secretArn) ?? secretArn).sort(),
    ...(first !== undefined && { since: first }),
  };
  return [
    ...(failing.length > 0 ? [rotations] : []),
    ...findings.map(({ kind, since, open }) => ({
      kind,
      count: open.length,
      secrets: open.flatMap((key) => byDigest.get(key) ?? []).sort(),
      ...(since !== undefined && { since }),
    })),
  ];
}
