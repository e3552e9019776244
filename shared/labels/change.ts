/** What Secrets Manager says of a secret's versions: Describe's labels, and the dates of ListSecretVersionIds. */
export interface LabelFacts {
  /** VersionIdsToStages: versions without a label are not in it. */
  readonly stages: Readonly<Record<string, readonly string[]>>;
  /** CreatedDate of each version, those without a label included: else a rollback can look like the newest version. */
  readonly createdAt: Readonly<Record<string, Date>>;
  readonly lastRotatedAt: Date | undefined;
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
  /** The version was there and is no longer AWSCURRENT: a late or replayed event. A later one tells the truth. */
  | { readonly kind: 'stale' }
  /**
   * The version isn't AWSCURRENT, and nothing shows that it ever was: either reads, which are eventually consistent, lag
   * behind the event, or the event is forged. Do nothing, and fail, so that the delivery is tried again.
   */
  | { readonly kind: 'unseen' };

/**
 * What became of a secret, given that an event says AWSCURRENT moved to a version.
 *
 * A rotation either leaves AWSPENDING on the version that it made current, or it took the label off and Secrets Manager
 * noted the rotation's date, which no change by hand moves.
 */
export function changeOf(versionId: string, { stages, createdAt, lastRotatedAt }: LabelFacts): Change {
  const own = stagesOf(versionId, stages);
  const created = Object.hasOwn(createdAt, versionId) ? createdAt[versionId] : undefined;
  if (!own.includes('AWSCURRENT')) {
    const superseded = own.includes('AWSPREVIOUS');
    const deprecated = own.length === 0 && created !== undefined;
    return { kind: superseded || deprecated ? 'stale' : 'unseen' };
  }
  if (created === undefined) return { kind: 'unseen' };
  const newest = Object.values(createdAt).every((date) => date <= created);
  const rotated =
    own.includes('AWSPENDING') || (newest && lastRotatedAt !== undefined && lastRotatedAt >= created);
  return {
    kind: rotated ? 'rotated' : 'changed',
    currentVersionId: versionId,
    currentCreatedAt: created,
    supersededVersionId: Object.keys(stages).find((id) => stagesOf(id, stages).includes('AWSPREVIOUS')),
  };
}

function stagesOf(versionId: string, stages: LabelFacts['stages']): readonly string[] {
  return Object.hasOwn(stages, versionId) ? (stages[versionId] ?? []) : [];
}
