import { credentialsIn, withCredentials } from '../credential/credentials-in.ts';
import type { SecretJson } from '../credential/secret-json.ts';
import { type DescribedSecret, describeSecret } from '../labels/read.ts';
import { strategyOf } from '../labels/tags.ts';
import { rotatorOf } from '../rotators/registry.ts';
import type { Strategy } from '../rotators/rotator.ts';
import { called } from '../secrets-manager/errors.ts';
import { putPending, readVersion } from '../secrets-manager/versions.ts';
import { NoCurrentVersionError } from './errors.ts';
import { currentVersionIdOf, standingOf } from './position.ts';
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
  if (standingOf(secret, token) === 'current') return { secret, created: false };

  if (await readVersion(secretsManager, secretArn, { versionId: token, stage: 'AWSPENDING' })) {
    return { secret, created: false };
  }
  const current = await readVersion(secretsManager, secretArn, { versionId: currentVersionIdOf(secret) });
  if (!current) throw new NoCurrentVersionError();
  const pending = staged(current.value, strategyOf(secret.tags));
  const outcome = await putPending(secretsManager, secretArn, token, pending.serialize(), rotationToken);
  return { secret, created: outcome === 'put' };
}

/** Every credential of the secret is renewed; every other field stays. */
function staged(current: SecretJson, strategy: Strategy): SecretJson {
  const entries = credentialsIn(current).map((entry) => ({
    ...entry,
    credential: rotatorOf(entry.engine).stage(entry.credential, strategy),
  }));
  return withCredentials(current, entries);
}
