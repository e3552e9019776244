import { createHash } from 'node:crypto';
import type { Finding } from './finding.ts';

/** The secrets that one kind of finding is open for: an episode, from the first that is found until none is left. */
export interface OpenFindings {
  /** Digests of their ARNs, short enough for ten thousand of them to fit into one record. */
  readonly open: readonly string[];
  /** Of so many, the first of `open`, on-call was told that they need a person. */
  readonly asked?: number;
  /** When the episode began. */
  readonly since?: string;
  /** Which of them opened or closed lately, and when. */
  readonly changes?: readonly Change[];
}

interface Change {
  readonly at: string;
  readonly digests: readonly string[];
}

/** One run's look at the fleet, for one kind. */
export interface Look<Found extends Finding = Finding> {
  readonly findings: readonly Found[];
  /** The ARNs that were looked at: what is open for others stays open. `all`: the whole fleet. */
  readonly checked: ReadonlySet<string> | 'all';
  /** When the run began to read: what opened or closed since then it may have seen as it was before. */
  readonly began: Date;
}

/** What on-call is told: once when secrets are newly found, once more of one that turns out to need a person, and once when none is left. */
export interface FindingsAlert {
  readonly state: 'found' | 'recovered';
  readonly since: string;
  readonly at: string;
  /** How many are told of. */
  readonly count: number;
  /** How many of them need a person. */
  readonly needPerson?: number;
  /** The first of them. */
  readonly examples: readonly Pick<Finding, 'secret' | 'explanation' | 'outcome'>[];
}

export const noFindings: OpenFindings = { open: [] };

const examplesMax = 10;

/** A reconciler may run for so long, by the limit of Lambda: no look that is still to be heard began earlier. */
const longestRunMs = 900_000;

/** The findings that are news: not open yet, and not closed since the look began. Amiss still, the next look finds them. */
export function newly<Found extends Finding>(
  before: OpenFindings,
  { findings, began }: Look<Found>,
  now: Date,
): readonly Found[] {
  const known = new Set([...before.open, ...changedSince(began, before, now)]);
  return findings.filter(({ secretArn }) => !known.has(digest(secretArn)));
}

/** The findings that on-call was told of as repaired or waiting, and that need a person by now. */
function escalated<Found extends Finding>(
  before: OpenFindings,
  { findings, began }: Look<Found>,
  now: Date,
): readonly Found[] {
  const calm = new Set(before.open.slice(before.asked));
  for (const arn of changedSince(began, before, now)) calm.delete(arn);
  return findings.filter((one) => needsPerson(one) && calm.has(digest(one.secretArn)));
}

const needsPerson = ({ outcome }: Pick<Finding, 'outcome'>): boolean => outcome === 'needs a person';

/**
 * What a look at the fleet changes; undefined: nothing, so that runs at the same time have a record to themselves who have
 * something to tell. A finding that was there at the last look too is no news, repaired each time or not, until it needs a person.
 *
 * Runs may overlap, and a slow one be heard last: of a secret whose finding opened or closed since it began, it says nothing.
 */
export function looked(
  before: OpenFindings,
  look: Look,
  now: Date,
): { readonly state: OpenFindings; readonly alert?: FindingsAlert } | undefined {
  const at = now.toISOString();
  const since = before.since ?? at;
  const found = newly(before, look, now);
  const worse = escalated(before, look, now);
  const stays = new Set(look.findings.map(({ secretArn }) => digest(secretArn)));
  for (const arn of changedSince(look.began, before, now)) stays.add(arn);
  const looks = look.checked === 'all' ? undefined : new Set([...look.checked].map(digest));
  const kept = before.open.filter((arn) => stays.has(arn) || (looks !== undefined && !looks.has(arn)));
  const told = [...found, ...worse];
  if (told.length === 0 && kept.length === before.open.length) return undefined;
  const opened = [...new Set(found.map(({ secretArn }) => digest(secretArn)))];
  const asks = new Set(told.filter(needsPerson).map(({ secretArn }) => digest(secretArn)));
  for (const arn of before.open.slice(0, before.asked ?? 0)) asks.add(arn);
  const all = [...kept, ...opened];
  const asked = all.filter((arn) => asks.has(arn));
  const open = [...asked, ...all.filter((arn) => !asks.has(arn))];
  const left = new Set(kept);
  const changes = changedBy([...opened, ...before.open.filter((arn) => !left.has(arn))], before, now);
  if (open.length === 0) {
    const recovered = { state: 'recovered', since, at, count: 0, examples: [] } as const;
    return { state: { open, changes }, alert: recovered };
  }
  // Those first for which somebody is woken.
  const examples = [...told.filter(needsPerson), ...told.filter((one) => !needsPerson(one))]
    .slice(0, examplesMax)
    .map(({ secret, explanation, outcome }) => ({ secret, explanation, outcome }));
  const needPerson = told.filter(needsPerson).length;
  const alert = { state: 'found', since, at, count: told.length, needPerson, examples } as const;
  return { state: { open, asked: asked.length, since, changes }, ...(told.length > 0 && { alert }) };
}

/** Changes that a look may be older than. One from the far future is of a clock that was wrong, and would silence all. */
const recent = ({ changes = [] }: OpenFindings, now: Date): readonly Change[] =>
  changes.filter(({ at }) => Math.abs(now.getTime() - Date.parse(at)) <= longestRunMs);

function changedSince(began: Date, before: OpenFindings, now: Date): readonly string[] {
  return recent(before, now).flatMap(({ at, digests }) => (Date.parse(at) > began.getTime() ? digests : []));
}

/** Each secret once, so that ten thousand have room beside those that are open. */
function changedBy(digests: readonly string[], before: OpenFindings, now: Date): readonly Change[] {
  const anew = new Set(digests);
  const earlier = recent(before, now)
    .map((change) => ({ ...change, digests: change.digests.filter((one) => !anew.has(one)) }))
    .filter((change) => change.digests.length > 0);
  return [...earlier, { at: now.toISOString(), digests }];
}

/** How an open finding names its secret. */
export function digest(secretArn: string): string {
  return createHash('sha256').update(secretArn).digest('hex').slice(0, 16);
}
