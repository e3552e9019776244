/** VersionIdsToStages, as DescribeSecret gives it: versions without a staging label are not in it. */
export type Stages = Readonly<Record<string, readonly string[]>>;

/**
 * The version that has a staging label, if one has.
 *
 * @example versionWith('AWSCURRENT', secret)
 */
export function versionWith(label: string, { stages }: { readonly stages: Stages }): string | undefined {
  return Object.keys(stages).find((versionId) => stages[versionId]?.includes(label));
}

/** The version of a rotation that hasn't ended: while there is one, RotateSecret begins no other. */
export function incompleteVersion(secret: { readonly stages: Stages }): string | undefined {
  const pending = versionWith('AWSPENDING', secret);
  return pending === versionWith('AWSCURRENT', secret) ? undefined : pending;
}
