import { DescribeSecretCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SecretTagError } from '../labels/tags.ts';
import { called } from '../secrets-manager/errors.ts';
import type { Key, Vault } from './client.ts';
import { isSameJson, type MirrorDigest } from './digest.ts';
import { MirrorNameError, MirrorTakenError, StaleReadError } from './mirror-errors.ts';
import { mirrorPath } from './mirror-path.ts';
import { claimed, type MirrorStamp, stamped, stampOf } from './mirror-stamp.ts';
import { isOfVersion, labelsOf, type MirroredVersion, versionOf } from './mirrored-versions.ts';

export interface MirrorParts {
  readonly secretsManager: SecretsManagerClient;
  readonly vault: Vault;
  readonly digest: () => Promise<MirrorDigest>;
}

/**
 * `unstamped`: the value is right, and its stamp late or without digest. `ahead`: the mirror holds a version that came
 * after AWSCURRENT's. `changed-by-hand`: a value that this secret's mirror was never given.
 */
export type MirrorStanding = 'in-step' | 'unstamped' | 'missing' | 'behind' | 'ahead' | 'changed-by-hand';

/** A secret's mirror beside AWSCURRENT, as both were read. The values stay inside `write`. */
export interface ExaminedMirror {
  readonly standing: MirrorStanding;
  readonly secretArn: string;
  readonly path: string;
  readonly currentVersionId: string;
  readonly stampedVersionId: string | undefined;
  /** The version of the key, as KV counts: 0 where there is none. */
  readonly kvVersion: number;
  /** The labels, as DescribeSecret showed them. */
  readonly stages: Readonly<Record<string, readonly string[]>>;
  readonly lastChangedAt: Date | undefined;
  /** Set where Secrets Manager does not know the stamped version: when it was made, by the stamp. It may just not show yet. */
  readonly unknownSince?: Date;
  /** By its tag, a change by hand is left for a person to look at. */
  readonly isQuarantined: boolean;
  /** Brings the mirror to AWSCURRENT. @throws CasMismatchError where somebody wrote the key since it was read. */
  write(): Promise<'unchanged' | 'stamped' | 'written'>;
}

/**
 * Compares a secret's mirror with AWSCURRENT and writes nothing.
 *
 * @throws MirrorPathError, MirrorNameError, SecretTagError, MirrorValueError where the secret can't be mirrored; MirrorTakenError where the
 * key is someone else's; StaleReadError where Secrets Manager contradicts itself.
 */
export async function examineMirror(
  secretId: string,
  { secretsManager, vault, digest }: MirrorParts,
): Promise<ExaminedMirror | 'not-mirrored' | 'deletion-pending'> {
  const secret = await mirroredSecret(secretId, secretsManager);
  if (typeof secret === 'string') return secret;
  const { secretArn, path, stages } = secret;
  const key = await vault.readKey(path);
  const stamp = stampOf(key);
  if (key && stamp.secretArn !== secretArn) {
    throw new MirrorTakenError('The mirror path holds a key that this secret did not write');
  }
  const current = await versionOf(secretId, { VersionStage: 'AWSCURRENT' }, secretsManager);
  if (!current) throw new StaleReadError('Secrets Manager gave no current version');
  const digests = await digest();
  const left = await leftBehind(stamp, current, secretId, stages, secretsManager);
  const seen: Seen = { secretId, secretArn, path, key, stamp, current, left, digests };
  const standing = await standingOf(seen, secretsManager);
  return {
    standing,
    secretArn,
    path,
    currentVersionId: current.versionId,
    stampedVersionId: stamp.versionId,
    kvVersion: key?.currentVersion ?? 0,
    stages,
    lastChangedAt: secret.lastChangedAt,
    ...(left === 'unknown' && { unknownSince: stamp.createdAt }),
    isQuarantined: secret.quarantines && standing === 'changed-by-hand',
    write: () => write(standing, seen, vault),
  };
}

/** The secret, where it is to be mirrored. */
async function mirroredSecret(secretId: string, client: SecretsManagerClient) {
  const secret = await called('DescribeSecret', () =>
    client.send(new DescribeSecretCommand({ SecretId: secretId })),
  );
  const tags = Object.fromEntries((secret.Tags ?? []).map(({ Key, Value }) => [Key, Value]));
  const tag = tags['keyturn:mirror'];
  if (tag === undefined || tags.managed_by !== 'agent-platform') return 'not-mirrored';
  if (secret.DeletedDate) return 'deletion-pending';
  return {
    path: mirrorPath(tag, tags.agent_id ?? ''),
    quarantines: isQuarantinePolicy(tags['keyturn:mirror-policy']),
    secretArn: mirrorableArn(secret.ARN ?? secretId),
    stages: secret.VersionIdsToStages ?? {},
    lastChangedAt: secret.LastChangedDate,
  };
}

/** Both sides, as they were read. */
interface Seen {
  readonly secretId: string;
  readonly secretArn: string;
  readonly path: string;
  readonly key: Key | undefined;
  readonly stamp: MirrorStamp;
  readonly current: MirroredVersion;
  /** Whether the stamped version came after AWSCURRENT's: see `leftBehind`. */
  readonly left: 'left' | 'unknown' | undefined;
  readonly digests: MirrorDigest;
}

async function standingOf(seen: Seen, client: SecretsManagerClient): Promise<MirrorStanding> {
  const { key, stamp, current, left, secretArn, digests } = seen;
  if (!key?.data) return 'missing';
  if (isSameJson(key.data, current.value) && left !== 'unknown') {
    const isStamped =
      stamp.versionId === current.versionId &&
      stamp.kvVersion === String(key.currentVersion) &&
      stamp.digest === digests.of(secretArn, current.versionId, current.value);
    return isStamped ? 'in-step' : 'unstamped';
  }
  if (await isByHand(key.data, seen, client)) return 'changed-by-hand';
  return left === undefined ? 'behind' : 'ahead';
}

/** A run that didn't come to its stamp left the value of a later version: of any other, a person is the author. */
async function isByHand(
  data: Readonly<Record<string, unknown>>,
  { secretId, secretArn, key, stamp, current, digests }: Seen,
  client: SecretsManagerClient,
): Promise<boolean> {
  if (stamp.versionId === undefined) return false;
  const verdict = digests.verify(stamp.digest, secretArn, stamp.versionId, data);
  if (verdict === 'same') return false;
  const isUntouched = stamp.kvVersion === String(key?.currentVersion);
  if (verdict === 'unknown' && isUntouched && stamp.versionId !== current.versionId) return false;
  const between = { after: stamp.createdAt, before: current.createdAt };
  return !(await isOfVersion(data, between, secretId, client));
}

/** In the order from which a run that was killed converges: the claim, the value, its stamp. */
async function write(
  standing: MirrorStanding,
  { key, path, secretArn, current, digests }: Seen,
  vault: Vault,
): Promise<'unchanged' | 'stamped' | 'written'> {
  const custom = key?.custom ?? {};
  const digest = digests.of(secretArn, current.versionId, current.value);
  const writeStamp = (kvVersion: number) =>
    vault.writeCustomMetadata(path, stamped(custom, secretArn, current, { kvVersion, digest }));
  if (standing === 'in-step') return 'unchanged';
  if (standing === 'unstamped' && key) {
    await writeStamp(key.currentVersion);
    return 'stamped';
  }
  if (!key) await vault.writeCustomMetadata(path, claimed(custom, secretArn));
  await writeStamp(await vault.writeData(path, current.value, key?.currentVersion ?? 0));
  return 'written';
}

/**
 * Whether the stamped version is one that was made after AWSCURRENT's and has left it: `left`. `unknown`: Secrets Manager
 * does not know it, or does not show it yet. Undefined: it is AWSCURRENT's, or an older one.
 */
async function leftBehind(
  stamp: MirrorStamp,
  current: MirroredVersion,
  secretId: string,
  stages: Readonly<Record<string, readonly string[]>>,
  client: SecretsManagerClient,
): Promise<'left' | 'unknown' | undefined> {
  const { versionId, createdAt } = stamp;
  if (!versionId || versionId === current.versionId || createdAt < current.createdAt) return undefined;
  const labels = stages[versionId] ?? (await labelsOf(versionId, secretId, client));
  if (!labels) return 'unknown';
  const holdsCurrent = (stages[current.versionId] ?? []).includes('AWSCURRENT');
  if (!holdsCurrent || !hasLeft(labels))
    throw new StaleReadError('What was read is older than what was mirrored');
  return 'left';
}

/** Whether a version that was AWSCURRENT is so no longer. */
export function hasLeft(labels: readonly string[]): boolean {
  return labels.includes('AWSPREVIOUS') || labels.length === 0;
}

function isQuarantinePolicy(policy = 'heal'): boolean {
  if (policy !== 'heal' && policy !== 'quarantine') {
    throw new SecretTagError('keyturn:mirror-policy', 'heal or quarantine');
  }
  return policy === 'quarantine';
}

/** KV's limit for a value of custom metadata, which the ARN is kept as. */
const longestNoteBytes = 512;

/** The ARN of a secret that can be mirrored. A name may have 512 characters, and the ARN has some seventy more. */
function mirrorableArn(secretArn: string): string {
  if (Buffer.byteLength(secretArn) > longestNoteBytes) {
    throw new MirrorNameError(
      `Vault keeps at most ${longestNoteBytes} bytes of a secret's ARN: its name is too long`,
    );
  }
  return secretArn;
}
