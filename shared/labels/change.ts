import { type Stages, versionWith } from './stages.ts';

/** What Secrets Manager says of a secret's versions: Describe's labels, and the dates of ListSecretVersionIds. */
export interface LabelFacts {
  readonly stages: Stages;
  /** CreatedDate of each version, those without a label included: else a rollback can look like the newest version. */
  readonly createdAt: Readonly<Record<string, Date>>;
  readonly lastRotatedAt: Date | undefined;
  /** When anything of the secret last changed: labels, values, tags. */
  readonly lastChangedAt?: Date | undefined;
  /**
   * Versions that ListSecretVersionIds itself showed as AWSCURRENT or AWSPENDING. The two reads may see different moments: a
   * version that Describe doesn't know yet would else look like one that has lost its labels.
   */
  readonly listedInUse?: ReadonlySet<string>;
}

export type Change =
  | {
      /** `rotated`: a rotation made the version. `changed`: by hand, or a rollback. */
      readonly kind: 'rotated' | 'changed';
      readonly currentVersionId: string;
      readonly currentCreatedAt: Date;
      /** AWSPREVIOUS. A secret's first version supersedes none. */
      readonly supersededVersionId: string | undefined;
    }
  /** The version was there and is AWSCURRENT no longer, by a read that is no older than the event. A later event tells the truth. */
  | { readonly kind: 'stale' }
  /**
   * The version isn't AWSCURRENT, and nothing shows that it ever was: either reads, which are eventually consistent, lag
   * behind the event, or the event is forged. Do nothing, and fail, so that the delivery is tried again.
   */
  | { readonly kind: 'unseen' };

/**
 * What became of a secret, given that an event says AWSCURRENT moved to a version, and when.
 *
 * A rotation either leaves AWSPENDING on the version that it made current, or it took the label off and Secrets Manager
 * noted the rotation's date, which no change by hand moves (as users of AWS report: cloud-custodian's issue 10416).
 */
export function changeOf(versionId: string, facts: LabelFacts, movedAt?: Date): Change {
  const { stages, createdAt, lastRotatedAt, listedInUse } = facts;
  const own = stagesOf(versionId, stages);
  const created = Object.hasOwn(createdAt, versionId) ? createdAt[versionId] : undefined;
  if (!own.includes('AWSCURRENT')) {
    const superseded = own.includes('AWSPREVIOUS');
    const deprecated = own.length === 0 && created !== undefined && !listedInUse?.has(versionId);
    const isOld = (superseded || deprecated) && isSince(movedAt, facts.lastChangedAt);
    return { kind: isOld ? 'stale' : 'unseen' };
  }
  if (created === undefined) return { kind: 'unseen' };
  // The next rotation may have begun. A later version of another kind may have been in force: this one came back by hand.
  const isNext = (id: string) => stagesOf(id, stages).join() === 'AWSPENDING';
  const newest = Object.entries(createdAt).every(([id, date]) => date <= created || isNext(id));
  const rotated =
    own.includes('AWSPENDING') || (newest && lastRotatedAt !== undefined && lastRotatedAt >= created);
  return {
    kind: rotated ? 'rotated' : 'changed',
    currentVersionId: versionId,
    currentCreatedAt: created,
    supersededVersionId: versionWith('AWSPREVIOUS', facts),
  };
}

/**
 * The earliest that AWSCURRENT can have come onto the version that has it. Secrets Manager notes a rotation that it ran to its
 * end, and not one whose last steps somebody else had taken: then the latest change of the secret bounds it.
 */
export function inForceSince(
  createdAt: Date,
  { lastRotatedAt, lastChangedAt }: Pick<LabelFacts, 'lastRotatedAt' | 'lastChangedAt'>,
): Date {
  const noted = lastRotatedAt !== undefined && lastRotatedAt >= createdAt;
  const since = noted ? lastRotatedAt : (lastChangedAt ?? createdAt);
  return since > createdAt ? since : createdAt;
}

/**
 * Whether what was read is no older than a move of AWSCURRENT, which EventBridge dates by the second: the latest change that it
 * shows came no earlier. A read that lags may show the version as AWSPREVIOUS or without a label, where a label was put back on it.
 */
export function isSince(movedAt: Date | undefined, lastChangedAt: Date | undefined): boolean {
  if (movedAt === undefined || lastChangedAt === undefined) return false;
  return lastChangedAt >= movedAt;
}

function stagesOf(versionId: string, stages: Stages): readonly string[] {
  return Object.hasOwn(stages, versionId) ? (stages[versionId] ?? []) : [];
}
