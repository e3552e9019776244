import { DescribeSecretCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { isSince } from '../labels/change.ts';
import { SecretTagError } from '../labels/tags.ts';
import { called } from '../secrets-manager/errors.ts';
import type { Key, Vault } from './client.ts';
import { isSameJson, type MirrorDigest } from './digest.ts';
import {
  MirrorNameError,
  MirrorPathError,
  MirrorTakenError,
  StaleReadError,
  UnexplainedValueError,
} from './mirror-errors.ts';
import { isOfVersion, labelsOf, type MirroredVersion, versionOf } from './mirrored-versions.ts';

export type MirrorOutcome =
  | 'not-mirrored'
  | 'deletion-pending'
  | 'unchanged'
  | 'stamped'
  | 'written'
  | 'changed-by-hand'
  | 'quarantined';

export interface MirrorParts {
  readonly secretsManager: SecretsManagerClient;
  readonly vault: Vault;
  readonly digest: () => Promise<MirrorDigest>;
}

/** A secret's mirror beside AWSCURRENT, as both were read. The values stay inside `write`. */
export interface ExaminedMirror {
  /**
   * `unstamped`: the value is right, and its stamp late or without digest. `ahead`: the mirror holds a version that came
   * after AWSCURRENT's. `changed-by-hand`: a value that this secret's mirror was never given.
   */
  readonly standing: 'in-step' | 'unstamped' | 'missing' | 'behind' | 'ahead' | 'changed-by-hand';
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
 * Checks the tag `keyturn:mirror`. Only plain characters pass, so '..', '%2e', '+' and '*' have nothing to be decoded from.
 *
 * @example mirrorPath('agents/a1/credentials', 'a1'); // 'agents/a1/credentials'
 */
export function mirrorPath(tag: string, agentId: string): string {
  const segments = tag.split('/');
  const plain = segments.every((segment) => /^[A-Za-z0-9_.@=-]+$/.test(segment) && !/^\.+$/.test(segment));
  if (!plain || segments.length < 3 || segments[0] !== 'agents' || segments[1] !== agentId) {
    throw new MirrorPathError('Tag keyturn:mirror: expected a plain path inside agents/{agent_id}/');
  }
  return tag;
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

/**
 * Brings a secret's mirror to AWSCURRENT as it is read now, whatever version an event named. Where AWSCURRENT is seen on another
 * one, the named one must be seen to have lost it: else the read is older than the event, and the mirror would stay behind.
 *
 * Killed anywhere, the next run converges: the key is claimed before its data is written, and the data before the version
 * stamp. Data without its stamp looks outdated and is stamped or written again; a stamp without its data can't come to be.
 * The stamp names the KV version that it describes and holds a digest of the value, so a stamp that is late, or a change by
 * hand, is seen too. Concurrent runs: the data is written by check-and-set on the version that was read; of two stamps the
 * later stays, and one that doesn't describe the data is mended by the next run.
 * A value that the mirror was never given is left to the reconciler, which looks twice: it may be that of a later version, whose run
 * hasn't stamped it yet or was killed before, and which isn't shown yet. Until then the event comes again, where its version was
 * not mirrored.
 * A key that someone creates between the check and the claim is kept by this run (CAS 0), but not by the next.
 *
 * @param moved the version that AWSCURRENT moved to and when, as an event says.
 */
export async function syncMirror(
  secretId: string,
  parts: MirrorParts,
  { moved }: { readonly moved?: { readonly to: string; readonly at: Date } } = {},
): Promise<MirrorOutcome> {
  const mirror = await shownMirror(secretId, parts);
  if (typeof mirror === 'string') return mirror;
  if (moved !== undefined && moved.to !== mirror.currentVersionId) {
    const labels = mirror.stages[moved.to] ?? (await labelsOf(moved.to, secretId, parts.secretsManager));
    const isOld = labels !== undefined && hasLeft(labels) && isSince(moved.at, mirror.lastChangedAt);
    if (!isOld) throw new StaleReadError('What was read is older than the event');
  }
  if (mirror.isQuarantined) return 'quarantined';
  const isMirrored = mirror.stampedVersionId === mirror.currentVersionId;
  if (mirror.standing !== 'changed-by-hand') return mirror.write();
  if (isMirrored) return 'changed-by-hand';
  throw new UnexplainedValueError('The mirror holds a value that is not known to be of this secret');
}

/** Brings a secret's mirror to AWSCURRENT, over whatever somebody wrote into it by hand: a person has looked at it. */
export async function releaseMirror(
  secretId: string,
  parts: MirrorParts,
): Promise<Exclude<MirrorOutcome, 'changed-by-hand' | 'quarantined'>> {
  const mirror = await shownMirror(secretId, parts);
  return typeof mirror === 'string' ? mirror : mirror.write();
}

async function shownMirror(secretId: string, parts: MirrorParts) {
  const mirror = await examineMirror(secretId, parts);
  if (typeof mirror !== 'string' && mirror.unknownSince) {
    throw new StaleReadError('What was read is older than what was mirrored');
  }
  return mirror;
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
  const secret = await called('DescribeSecret', () =>
    secretsManager.send(new DescribeSecretCommand({ SecretId: secretId })),
  );
  const tags = Object.fromEntries((secret.Tags ?? []).map(({ Key, Value }) => [Key, Value]));
  const tag = tags['keyturn:mirror'];
  if (tag === undefined || tags.managed_by !== 'agent-platform') return 'not-mirrored';
  if (secret.DeletedDate) return 'deletion-pending';
  const path = mirrorPath(tag, tags.agent_id ?? '');
  const quarantines = isQuarantinePolicy(tags['keyturn:mirror-policy']);
  const secretArn = mirrorableArn(secret.ARN ?? secretId);

  const key = await vault.readKey(path);
  const stamp = stampOf(key);
  if (key && stamp.secretArn !== secretArn) {
    throw new MirrorTakenError('The mirror path holds a key that this secret did not write');
  }
  const current = await versionOf(secretId, { VersionStage: 'AWSCURRENT' }, secretsManager);
  if (!current) throw new StaleReadError('Secrets Manager gave no current version');
  const currentCreatedAt = current.createdAt;
  const digests = await digest();
  const ownDigest = digests.of(secretArn, current.versionId, current.value);

  const claim = { ...key?.custom, keyturn_secret: secretArn };
  const writeStamp = (kvVersion: number) =>
    vault.writeCustomMetadata(path, {
      ...claim,
      keyturn_version_id: current.versionId,
      keyturn_version_created_at: current.createdAt.toISOString(),
      keyturn_kv_version: String(kvVersion),
      keyturn_digest: ownDigest,
    });
  const left = await leftBehind(stamp, current, secretId, secret.VersionIdsToStages ?? {}, secretsManager);
  const known = {
    secretArn,
    path,
    currentVersionId: current.versionId,
    stampedVersionId: stamp.versionId,
    kvVersion: key?.currentVersion ?? 0,
    stages: secret.VersionIdsToStages ?? {},
    lastChangedAt: secret.LastChangedDate,
    isQuarantined: false,
    ...(left === 'unknown' && { unknownSince: stamp.createdAt }),
  };
  const rewrite = async () => {
    if (!key) await vault.writeCustomMetadata(path, claim);
    await writeStamp(await vault.writeData(path, current.value, key?.currentVersion ?? 0));
    return 'written' as const;
  };

  const isRight = key?.data !== undefined && isSameJson(key.data, current.value);
  if (isRight && left !== 'unknown') {
    const isStamped =
      stamp.versionId === current.versionId &&
      stamp.kvVersion === String(key.currentVersion) &&
      stamp.digest === ownDigest;
    if (isStamped) return { ...known, standing: 'in-step', write: async () => 'unchanged' };
    return {
      ...known,
      standing: 'unstamped',
      write: async () => {
        await writeStamp(key.currentVersion);
        return 'stamped';
      },
    };
  }
  if (!key?.data) return { ...known, standing: 'missing', write: rewrite };
  if (await isByHand(key.data)) {
    return { ...known, standing: 'changed-by-hand', isQuarantined: quarantines, write: rewrite };
  }
  return { ...known, standing: left === undefined ? 'behind' : 'ahead', write: rewrite };

  /** A run that didn't come to its stamp left the value of a later version: of any other, a person is the author. */
  async function isByHand(data: Readonly<Record<string, unknown>>): Promise<boolean> {
    if (stamp.versionId === undefined) return false;
    const verdict = digests.verify(stamp.digest, secretArn, stamp.versionId, data);
    if (verdict === 'same') return false;
    const isUntouched = stamp.kvVersion === String(key?.currentVersion);
    if (verdict === 'unknown' && isUntouched && stamp.versionId !== current?.versionId) return false;
    const between = { after: stamp.createdAt, before: currentCreatedAt };
    return !(await isOfVersion(data, between, secretId, secretsManager));
  }
}

interface Stamp {
  readonly secretArn: string | undefined;
  readonly versionId: string | undefined;
  readonly createdAt: Date;
  readonly kvVersion: string | undefined;
  readonly digest: string | undefined;
}

/** What Keyturn noted beside the value. Whoever may write the key's metadata can write anything there. */
export function stampOf(key: Pick<Key, 'custom'> | undefined): Stamp {
  const custom = key?.custom ?? {};
  const id = custom.keyturn_version_id;
  return {
    secretArn: custom.keyturn_secret,
    versionId: id !== undefined && /^[\w-]{1,64}$/.test(id) ? id : undefined,
    createdAt: new Date(Date.parse(custom.keyturn_version_created_at ?? '') || 0),
    kvVersion: custom.keyturn_kv_version,
    digest: custom.keyturn_digest,
  };
}

function isQuarantinePolicy(policy = 'heal'): boolean {
  if (policy !== 'heal' && policy !== 'quarantine') {
    throw new SecretTagError('keyturn:mirror-policy', 'heal or quarantine');
  }
  return policy === 'quarantine';
}

/**
 * Whether the stamped version is one that was made after AWSCURRENT's and has left it: `left`. `unknown`: Secrets Manager
 * does not know it, or does not show it yet. Undefined: it is AWSCURRENT's, or an older one.
 */
async function leftBehind(
  stamp: Stamp,
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
function hasLeft(labels: readonly string[]): boolean {
  return labels.includes('AWSPREVIOUS') || labels.length === 0;
}
