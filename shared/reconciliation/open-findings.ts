import { createHash } from 'node:crypto';
import type { Finding } from './finding.ts';

/** The secrets that one kind of finding is open for: an episode, from the first that is found until none is left. */
export interface OpenFindings {
  /** Digests of their ARNs, short enough for ten thousand of them to fit into one record. */
  readonly open: readonly string[];
  /** When the episode began. */
  readonly since?: string;
}

/** What on-call is told: once when secrets are newly found, and once when none is left. */
export interface FindingsAlert {
  readonly state: 'found' | 'recovered';
  readonly since: string;
  readonly at: string;
  /** How many are newly found. */
  readonly count: number;
  /** The first of them. */
  readonly examples: readonly Pick<Finding, 'secret' | 'explanation' | 'outcome'>[];
}

export const noFindings: OpenFindings = { open: [] };

const examplesMax = 10;

/** Those that are not open yet. */
export function newly<Found extends Finding>(
  { open }: OpenFindings,
  findings: readonly Found[],
): readonly Found[] {
  const known = new Set(open);
  return findings.filter(({ secretArn }) => !known.has(digest(secretArn)));
}

/**
 * What a look at the fleet changes; undefined: nothing, so that runs at the same time have a record to themselves who have
 * something to tell. A finding that was there at the last look too is no news, repaired each time or not.
 *
 * @param checked the ARNs that were looked at: what is open for others stays open. `all`: the whole fleet.
 */
export function looked(
  before: OpenFindings,
  findings: readonly Finding[],
  checked: ReadonlySet<string> | 'all',
  now: Date,
): { readonly state: OpenFindings; readonly alert?: FindingsAlert } | undefined {
  const at = now.toISOString();
  const since = before.since ?? at;
  const found = newly(before, findings);
  const amiss = new Set(findings.map(({ secretArn }) => digest(secretArn)));
  const looks = checked === 'all' ? undefined : new Set([...checked].map(digest));
  const kept = before.open.filter((arn) => amiss.has(arn) || (looks !== undefined && !looks.has(arn)));
  if (found.length === 0 && kept.length === before.open.length) return undefined;
  const open = [...kept, ...new Set(found.map(({ secretArn }) => digest(secretArn)))];
  if (open.length === 0) {
    const recovered = { state: 'recovered', since, at, count: 0, examples: [] } as const;
    return { state: noFindings, ...(before.open.length > 0 && { alert: recovered }) };
  }
  const examples = found
    .slice(0, examplesMax)
    .map(({ secret, explanation, outcome }) => ({ secret, explanation, outcome }));
  const opened = { state: 'found', since, at, count: found.length, examples } as const;
  return { state: { open, since }, ...(found.length > 0 && { alert: opened }) };
}

/** How an open finding names its secret. */
export function digest(secretArn: string): string {
  return createHash('sha256').update(secretArn).digest('hex').slice(0, 16);
}
