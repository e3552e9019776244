import { credentialsIn } from '../credential/credentials-in.ts';
import { rotatorOf } from '../rotators/registry.ts';
import { pendingVersion } from './pending-version.ts';
import type { Rotation, RotationParts } from './rotation.ts';

/** Uses each pending credential as its agent would: Get(token). Changes nothing, here or at the target. */
export async function testSecret(rotation: Rotation, parts: RotationParts): Promise<void> {
  const pending = await pendingVersion(rotation, parts);
  if (!pending) return;
  for (const { engine, credential } of credentialsIn(pending.value))
    await rotatorOf(engine).verify(credential);
}
