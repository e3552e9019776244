import { SecretTagError } from '../../labels/tags.ts';
import { longestLagMs } from '../../secrets-manager/lag.ts';
import type { Key } from '../../vault/client.ts';
import { CasMismatchError } from '../../vault/errors.ts';
import { type ExaminedMirror, examineMirror, type MirrorParts } from '../../vault/examine-mirror.ts';
import {
  MirrorNameError,
  MirrorPathError,
  MirrorTakenError,
  MirrorValueError,
  StaleReadError,
} from '../../vault/mirror-errors.ts';
import { mirrorPath } from '../../vault/mirror-path.ts';
import { stampOf } from '../../vault/mirror-stamp.ts';
import { explanations, type MirrorFinding, type MirrorKind } from './mirror-finding.ts';
import type { MirroredSecret } from './mirrored-secrets.ts';

/** Longer than Secrets Manager's answers may be late: what it does not know by then, it will not know. */
const settledMs = 10 * 60_000;

export interface Look {
  /** In step: no finding. */
  readonly finding?: MirrorFinding;
  /** It is being written by somebody else right now, or Secrets Manager's answers are late: no verdict, look again. */
  readonly isUnsettled?: boolean;
}

export interface LookOptions {
  readonly heals: boolean;
  readonly now: () => Date;
  readonly pause: (ms: number) => Promise<unknown>;
}

/**
 * Looks at one mirror and, unless it is only to look, brings it to AWSCURRENT. One call of Vault where all is well, and
 * none of Secrets Manager: the list's labels, the stamp and the digest of the value say so.
 *
 * Repeated, or after a kill, it begins from what is there; beside sync-vault-mirror, whoever writes second is refused by
 * check-and-set and leaves the mirror to the other.
 */
export async function lookAtMirror(
  secret: MirroredSecret,
  parts: MirrorParts,
  { heals, now, pause }: LookOptions,
): Promise<Look> {
  if (secret.isScheduledForDeletion) return {};
  try {
    const key = await parts.vault.readKey(mirrorPath(secret.path, secret.agentId));
    if (isInStep(secret, key, await parts.digest())) return {};
    const mirror = await examinedTwice(secret.secretArn, parts, pause);
    if (typeof mirror === 'string' || mirror.standing === 'in-step') return {};
    const { unknownSince } = mirror;
    // The distance: a date in the future is no clock's that is right, and would be waited for until it comes.
    if (unknownSince && Math.abs(now().getTime() - unknownSince.getTime()) < settledMs) {
      return { isUnsettled: true };
    }
    const isLeft = mirror.isQuarantined || !heals;
    if (!isLeft) await mirror.write();
    // The readers had the right value: it is written down, and not worth telling anybody.
    if (mirror.standing === 'unstamped') return {};
    return { finding: findingOf(secret, mirror, mirror.isQuarantined, heals) };
  } catch (error) {
    if (error instanceof CasMismatchError || error instanceof StaleReadError) return { isUnsettled: true };
    if (error instanceof MirrorTakenError) return { finding: needsAPerson(secret, 'mirror-taken') };
    const why = impossible.find(([errorClass]) => error instanceof errorClass);
    if (!why) throw error;
    return { finding: needsAPerson(secret, 'mirror-impossible', why[1]) };
  }
}

/**
 * A value that isn't this secret's may be one that was put a moment ago and isn't shown yet, of a run that was killed before its
 * stamp. So nobody is called its author before it was looked at again.
 *
 * @throws StaleReadError where it was written meanwhile
 */
async function examinedTwice(secretArn: string, parts: MirrorParts, pause: LookOptions['pause']) {
  const first = await examineMirror(secretArn, parts);
  if (typeof first === 'string' || first.standing !== 'changed-by-hand') return first;
  await pause(longestLagMs);
  const again = await examineMirror(secretArn, parts);
  if (
    typeof again !== 'string' &&
    again.standing === 'changed-by-hand' &&
    again.kvVersion !== first.kvVersion
  ) {
    throw new StaleReadError('The mirror was written while it was looked at');
  }
  return again;
}

function isInStep(
  { secretArn, currentVersionId }: MirroredSecret,
  key: Key | undefined,
  digest: Awaited<ReturnType<MirrorParts['digest']>>,
): boolean {
  const stamp = stampOf(key);
  return (
    key?.data !== undefined &&
    currentVersionId !== undefined &&
    stamp.secretArn === secretArn &&
    stamp.versionId === currentVersionId &&
    stamp.kvVersion === String(key.currentVersion) &&
    digest.verify(stamp.digest, secretArn, currentVersionId, key.data) === 'same'
  );
}

function findingOf(
  secret: MirroredSecret,
  { standing, path, stampedVersionId, currentVersionId }: ExaminedMirror,
  isQuarantined: boolean,
  heals: boolean,
): MirrorFinding {
  const kind = kinds[standing];
  return {
    ...idsOf(secret),
    kind,
    path,
    currentVersionId,
    ...(stampedVersionId !== undefined && { stampedVersionId }),
    explanation: isQuarantined ? `${explanations[kind]}; it is quarantined` : explanations[kind],
    outcome: isQuarantined ? 'needs a person' : heals ? 'repaired' : 'waiting',
  };
}

const kinds: Readonly<Record<ExaminedMirror['standing'], MirrorKind>> = {
  missing: 'mirror-missing',
  behind: 'mirror-behind',
  ahead: 'mirror-ahead',
  'changed-by-hand': 'mirror-changed-by-hand',
  // These two are no drift, and never come here.
  unstamped: 'mirror-behind',
  'in-step': 'mirror-behind',
};

const idsOf = ({ secret, secretArn, agentId }: MirroredSecret) => ({ secret, secretArn, agentId });

const needsAPerson = (
  secret: MirroredSecret,
  kind: MirrorKind,
  explanation = explanations[kind],
): MirrorFinding => ({
  ...idsOf(secret),
  kind,
  path: secret.path,
  explanation,
  outcome: 'needs a person',
});

const impossible = [
  [MirrorPathError, 'its tag keyturn:mirror is no plain path inside agents/{agent_id}/'],
  [SecretTagError, 'its tag keyturn:mirror-policy is neither heal nor quarantine'],
  [MirrorNameError, 'its name is too long to be mirrored'],
  [MirrorValueError, 'its value is no JSON object'],
] as const;
