import { adminArnOf, type CredentialEntry, credentialsIn } from '../credential/credentials-in.ts';
import { InvalidSecretError } from '../credential/errors.ts';
import type { SecretJson } from '../credential/secret-json.ts';
import { describeSecret, newestVersionIds } from '../labels/read.ts';
import { strategyOf } from '../labels/tags.ts';
import { OvertakenError } from '../rotators/errors.ts';
import { rotatorOf } from '../rotators/registry.ts';
import { called } from '../secrets-manager/errors.ts';
import { readCurrentOf, readVersion, type SecretVersion } from '../secrets-manager/versions.ts';
import { ensureAbandoned } from './abandoned.ts';
import { NoCurrentVersionError, NotPendingError } from './errors.ts';
import { pendingVersion } from './pending-version.ts';
import { currentVersionIdOf } from './position.ts';
import type { Rotation, RotationParts } from './rotation.ts';

/** How many versions a login may have been left at by runs that were killed. */
const earlierVersions = 10;

/**
 * Makes each target accept its pending credential: Get(token), BatchGet(current and admins); for a login without a twin Describe and
 * Get(AWSCURRENT's id) as well, and after a rotation that was given up Describe once more. A repeat finds that the target accepts
 * it, and changes nothing.
 */
export async function setSecret(rotation: Rotation, parts: RotationParts): Promise<void> {
  const { secretArn } = rotation;
  const { secretsManager, isAdminSecret } = parts;
  const pending = await pendingVersion(rotation, parts);
  if (!pending) return;
  const entries = credentialsIn(pending.value);
  const admins = entries.flatMap((entry) => adminArnOf(entry, isAdminSecret) ?? []);
  const values = await readCurrentOf(secretsManager, [secretArn, ...admins]);
  const shown = values.get(secretArn);
  if (!shown) throw new NoCurrentVersionError();
  const current = entries.some((entry) => hasItsLogin(shown.value, entry))
    ? await currentById(rotation, entries, parts)
    : shown;
  for (const entry of entries) {
    const adminArn = adminArnOf(entry, isAdminSecret);
    const admin = adminArn === undefined ? undefined : values.get(adminArn);
    if (adminArn !== undefined && !admin) throw new NoCurrentVersionError('The admin secret (masterarn)');
    await rotatorOf(entry.engine).apply({
      pending: entry.credential,
      current: sameCredential(current.value, entry),
      currentCreatedAt: current.createdAt,
      admin: admin?.value,
      earlier: async () =>
        (await earlier(secretArn, pending, parts)).flatMap((value) => inField(value, entry) ?? []),
      version: pending,
      ensureAbandoned: (versionId) => ensureAbandoned(versionId, rotation, pending, parts),
    });
  }
}

/**
 * Where the pending login is that of AWSCURRENT, either it can't have a twin, or the read by label lagged and gave the version
 * before, whose login is the pending one's. The labels tell: those that show the token are no older than its rotation.
 *
 * Or the rotation before was given up and moved AWSCURRENT even so, after this one's value was made: that is not to be used.
 */
async function currentById(
  { secretArn, token }: Rotation,
  entries: readonly CredentialEntry[],
  { secretsManager }: RotationParts,
): Promise<SecretVersion> {
  const secret = await called('DescribeSecret', () => describeSecret(secretsManager, secretArn));
  if (!secret.stages[token]?.includes('AWSPENDING')) throw new NotPendingError();
  const current = await readVersion(secretsManager, secretArn, { versionId: currentVersionIdOf(secret) });
  if (!current) throw new NoCurrentVersionError();
  const hasTwin = strategyOf(secret.tags) === 'dual-user';
  if (hasTwin && entries.some((entry) => hasItsLogin(current.value, entry))) {
    throw new OvertakenError('AWSPENDING holds the login of AWSCURRENT, though that has a twin');
  }
  return current;
}

function hasItsLogin(current: SecretJson, entry: CredentialEntry): boolean {
  const { username } = entry.credential.reveal();
  const own = inField(current, entry)?.reveal();
  return username !== undefined && own?.username === username && own.engine === entry.engine;
}

function inField(value: SecretJson, { field }: CredentialEntry): SecretJson | undefined {
  return field === undefined ? value : value.nested(field);
}

function sameCredential(current: SecretJson, entry: CredentialEntry): SecretJson {
  const credential = inField(current, entry);
  if (!credential || credential.reveal().engine !== entry.engine) {
    throw new InvalidSecretError(entry.field ?? 'engine', 'the same credential in AWSCURRENT and AWSPENDING');
  }
  return credential;
}

/** AWSPREVIOUS first, then what abandoned rotations left: their versions have no label, and can be read by id. */
async function earlier(
  secretArn: string,
  pending: SecretVersion,
  { secretsManager }: RotationParts,
): Promise<SecretJson[]> {
  const previous = await readVersion(secretsManager, secretArn, { stage: 'AWSPREVIOUS' });
  const values = previous ? [previous.value] : [];
  for (const versionId of await newestVersionIds(secretsManager, secretArn, earlierVersions)) {
    if (versionId === pending.versionId || versionId === previous?.versionId) continue;
    const version = await readVersion(secretsManager, secretArn, { versionId });
    // A later one has taken over, and its password is not this one's to change.
    if (!version || version.createdAt > pending.createdAt) continue;
    if (!version.stages.includes('AWSCURRENT')) values.push(version.value);
  }
  return values;
}
