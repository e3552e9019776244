import { credentialsIn, withCredentials } from '../credential/credentials-in.ts';
import type { SecretJson } from '../credential/secret-json.ts';
import { type DescribedSecret, describeSecret } from '../labels/read.ts';
import type { Tags } from '../labels/tags.ts';
import { SecretTagError } from '../labels/tags.ts';
import { rotatorOf } from '../rotators/registry.ts';
import type { Strategy } from '../rotators/rotator.ts';
import { called } from '../secrets-manager/errors.ts';
import { putPending, readVersion } from '../secrets-manager/versions.ts';
import { NoCurrentVersionError, RotationDisabledError, UnknownVersionError } from './errors.ts';
import { positionOf } from './position.ts';
import type { Rotation, RotationParts } from './rotation.ts';

/**
 * Makes the pending version, once: Describe, Get(token), Get(AWSCURRENT's id), Put. A repeat finds its value and puts none. Of two
 * runs at the same time one puts; the other's value, which nobody has seen, is forgotten.
 */
export async function createSecret(
  rotation: Rotation,
  { secretsManager }: RotationParts,
): Promise<{ secret: DescribedSecret; created: boolean }> {
  const { secretArn, token, rotationToken } = rotation;
  const secret = await called('DescribeSecret', () => describeSecret(secretsManager, secretArn));
  if (standing(secret, token) === 'current') return { secret, created: false };

  if (await readVersion(secretsManager, secretArn, { versionId: token, stage: 'AWSPENDING' })) {
    return { secret, created: false };
  }
  const current = await readVersion(secretsManager, secretArn, { versionId: currentVersionIdOf(secret) });
  if (!current) throw new NoCurrentVersionError();
  const pending = staged(current.value, strategyOf(secret.tags));
  const outcome = await putPending(secretsManager, secretArn, token, pending.serialize(), rotationToken);
  return { secret, created: outcome === 'put' };
}

/**
 * Labels that show the token are no older than its rotation, and a read by label may be: it would give the version before, whose
 * twin is the very login that AWSCURRENT has by now.
 */
export function currentVersionIdOf({ stages }: DescribedSecret): string {
  const current = Object.keys(stages).find((versionId) => stages[versionId]?.includes('AWSCURRENT'));
  if (current === undefined) throw new NoCurrentVersionError();
  return current;
}

/** @throws RotationDisabledError, UnknownVersionError, NotPendingError */
export function standing(secret: DescribedSecret, token: string): 'current' | 'pending' {
  if (!secret.rotationEnabled) throw new RotationDisabledError();
  const own = Object.hasOwn(secret.stages, token) ? secret.stages[token] : undefined;
  if (!own) throw new UnknownVersionError();
  return positionOf(own);
}

/** Every credential of the secret is renewed; every other field stays. */
function staged(current: SecretJson, strategy: Strategy): SecretJson {
  const entries = credentialsIn(current).map((entry) => ({
    ...entry,
    credential: rotatorOf(entry.engine).stage(entry.credential, strategy),
  }));
  return withCredentials(current, entries);
}

/** @throws SecretTagError */
export function strategyOf(tags: Tags): Strategy {
  const strategy = tags['keyturn:strategy'] ?? 'dual-user';
  if (strategy === 'dual-user' || strategy === 'single-user') return strategy;
  throw new SecretTagError('keyturn:strategy', 'dual-user or single-user');
}
