import { describeSecret } from '../labels/read.ts';
import { called } from '../secrets-manager/errors.ts';
import { moveCurrent } from '../secrets-manager/versions.ts';
import { currentVersionIdOf, standingOf } from './position.ts';
import type { Rotation, RotationParts } from './rotation.ts';

/** Whoever takes AWSPENDING off meanwhile can't stop the move: the next rotation waits for it (`ensureAbandoned`). */
export const moveLimitMs = 10_000;

/**
 * Moves AWSCURRENT to the pending version: Describe, UpdateSecretVersionStage. All that follows a rotation follows from this
 * label, so nothing is lost where the function dies after it. A repeat finds the label moved.
 *
 * AWSPENDING is left where it is: on the version that is AWSCURRENT now it tells that a rotation made it.
 */
export async function finishSecret(
  { secretArn, token }: Rotation,
  { secretsManager }: RotationParts,
): Promise<void> {
  const secret = await called('DescribeSecret', () => describeSecret(secretsManager, secretArn));
  if (standingOf(secret, token) === 'current') return;
  await moveCurrent(secretsManager, secretArn, {
    from: currentVersionIdOf(secret),
    to: token,
    limitMs: moveLimitMs,
  });
}
