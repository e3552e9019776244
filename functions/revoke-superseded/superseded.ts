import { inForceSince, type LabelFacts } from '../../shared/labels/change.ts';

export type Verdict =
  /** Both versions exist, the one superseded the other, and grace is over. */
  | {
      readonly kind: 'due';
      readonly supersededVersionIds: ReadonlySet<string>;
      /** When AWSCURRENT's version was made. */
      readonly currentCreatedAt: Date;
      /** In use, or in a grace period of their own. */
      readonly keptVersionIds: readonly string[];
    }
  /** The version is in use, or the labels don't show that it was superseded: a rollback, or a forged call. */
  | { readonly kind: 'not superseded' }
  /** Asked too early, or two reads that saw different moments: come again. */
  | { readonly kind: 'in grace' };

/** Secrets Manager notes a rotation's date a little after the label moved; clocks differ by less. */
const toleranceMs = 60_000;
const clockToleranceMs = 2_000;

/**
 * Whether a version is superseded for good, judged from the labels and dates that Secrets Manager gives. What the caller says
 * names the versions, and can only be wrong or too early: grace began neither before the version that supersedes was made, nor
 * before the rotation that made it current was over. So nobody ends a grace period by calling this function by hand.
 */
export function verdictOf(
  { supersededVersionId, currentVersionId }: { supersededVersionId: string; currentVersionId: string },
  { stages, createdAt, listedInUse = new Set(), ...dates }: LabelFacts,
  graceMs: number,
  now: Date,
): Verdict {
  const labelled = (label: string) =>
    Object.keys(stages).filter((versionId) => stages[versionId]?.includes(label));
  const current = labelled('AWSCURRENT');
  const kept = [...new Set([...current, ...labelled('AWSPENDING')])];
  const supersededAt = dateOf(createdAt, supersededVersionId);
  const successorAt = dateOf(createdAt, currentVersionId);
  if (!supersededAt || !successorAt || supersededAt >= successorAt || kept.includes(supersededVersionId)) {
    return { kind: 'not superseded' };
  }
  if (listedInUse.has(supersededVersionId)) return { kind: 'in grace' };
  const runsSince = (versionId: string, madeAt: Date) => {
    // Only the call that was scheduled for the end of this very grace period may be taken to be right about it.
    const isAskedFor = versionId === currentVersionId;
    const rotatedAt = current.includes(versionId) ? inForceSince(madeAt, dates).getTime() : 0;
    const graceBegan = Math.max(madeAt.getTime(), rotatedAt - (isAskedFor ? toleranceMs : 0));
    return now.getTime() + (isAskedFor ? clockToleranceMs : 0) < graceBegan + graceMs;
  };
  if (runsSince(currentVersionId, successorAt)) return { kind: 'in grace' };
  // Every second version has the same login. A call that comes a rotation late finds it with AWSPREVIOUS, whose own grace may run.
  const inGrace = current.some((versionId) => {
    const madeAt = dateOf(createdAt, versionId);
    return madeAt !== undefined && runsSince(versionId, madeAt);
  });
  const spared = inGrace ? labelled('AWSPREVIOUS') : [];
  if (spared.includes(supersededVersionId)) return { kind: 'in grace' };
  const supersededVersionIds = new Set(
    Object.keys(createdAt).filter(
      (versionId) => ![...kept, ...spared].includes(versionId) && !listedInUse.has(versionId),
    ),
  );
  const currentCreatedAt = new Date(
    Math.max(0, ...current.map((id) => dateOf(createdAt, id)?.getTime() ?? 0)),
  );
  return { kind: 'due', supersededVersionIds, currentCreatedAt, keptVersionIds: [...kept, ...spared] };
}

function dateOf(createdAt: LabelFacts['createdAt'], versionId: string): Date | undefined {
  return Object.hasOwn(createdAt, versionId) ? createdAt[versionId] : undefined;
}
