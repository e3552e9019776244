import type { Finding } from '../finding.ts';

/** Each has its page, `docs/runbook/{kind}.md`. */
export const mirrorKinds = [
  'mirror-missing',
  'mirror-behind',
  'mirror-ahead',
  'mirror-changed-by-hand',
  'mirror-orphaned',
  'mirror-taken',
  'mirror-impossible',
] as const;

export type MirrorKind = (typeof mirrorKinds)[number];

export interface MirrorFinding extends Finding {
  readonly kind: MirrorKind;
  readonly path: string;
  /** Of the version that the mirror says it holds, and of AWSCURRENT. */
  readonly stampedVersionId?: string;
  readonly currentVersionId?: string;
}

export const explanations: Readonly<Record<MirrorKind, string>> = {
  'mirror-missing': 'Vault has no value at its path',
  'mirror-behind': 'Vault had not got the current version',
  'mirror-ahead': 'Vault held a version that came after the current one, as after a rollback by hand',
  'mirror-changed-by-hand': 'somebody wrote to its mirror in Vault',
  'mirror-orphaned': 'a mirror in Vault belongs to no secret any more',
  'mirror-taken': 'its path in Vault holds a key that Keyturn did not write for it',
  'mirror-impossible': "its tag keyturn:mirror or keyturn:mirror-policy, its name or its value can't be used",
};
