import { credentialsIn } from '../credential/credentials-in.ts';
import type { SecretJson } from '../credential/secret-json.ts';
import { describeSecret } from '../labels/read.ts';
import { rotatorOf } from '../rotators/registry.ts';
import { called } from '../secrets-manager/errors.ts';
import { readVersion } from '../secrets-manager/versions.ts';
import { NoCurrentVersionError, UnknownVersionError } from './errors.ts';
import { pendingVersion } from './pending-version.ts';
import { standingOf } from './position.ts';
import type { Rotation, RotationParts } from './rotation.ts';

/** Uses each pending credential as its agent would: Get(token). Changes nothing, here or at the target. */
export async function testSecret(rotation: Rotation, parts: RotationParts): Promise<void> {
  try {
    const pending = await pendingVersion(rotation, parts);
    if (pending) await verifyAll(pending.value);
  } catch (error) {
    if (!(error instanceof UnknownVersionError)) throw error;
    await testConfiguration(rotation, parts);
  }
}

/**
 * RotateSecret with RotateImmediately=false runs this step alone, on a version that is AWSPENDING for the time of the test. AWS
 * doesn't say whether it has a value; where it has none, what can be proven is that the current credential works from here.
 */
async function testConfiguration(
  { secretArn, token }: Rotation,
  { secretsManager }: RotationParts,
): Promise<void> {
  standingOf(await called('DescribeSecret', () => describeSecret(secretsManager, secretArn)), token);
  const current = await readVersion(secretsManager, secretArn, { stage: 'AWSCURRENT' });
  if (!current) throw new NoCurrentVersionError();
  await verifyAll(current.value);
}

async function verifyAll(value: SecretJson): Promise<void> {
  for (const { engine, credential } of credentialsIn(value)) await rotatorOf(engine).verify(credential);
}
