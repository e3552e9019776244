import { describeSecret } from '../labels/read.ts';
import { OvertakenError } from '../rotators/errors.ts';
import { called } from '../secrets-manager/errors.ts';
import { longestLagMs } from '../secrets-manager/lag.ts';
import type { SecretVersion } from '../secrets-manager/versions.ts';
import { NotPendingError } from './errors.ts';
import { moveLimitMs } from './finish-secret.ts';
import type { Rotation, RotationParts } from './rotation.ts';

/** finishSecret may have seen labels that were old, and its call takes a while; so may what is read here be old. */
const settledAfterMs = moveLimitMs + 2 * longestLagMs;

/**
 * Waits until the rotation of an earlier version can't move AWSCURRENT any more, and makes sure that it has not: its finishSecret
 * may have been under way when somebody took AWSPENDING off it. Before that, its login is not this rotation's to change. The time
 * counts from when this rotation's version was made, which was after that.
 *
 * @throws OvertakenError, NotPendingError, SecretsManagerError
 */
export async function ensureAbandoned(
  versionId: string,
  { secretArn, token }: Rotation,
  pending: SecretVersion,
  { secretsManager, pause, now }: RotationParts,
): Promise<void> {
  const leftMs = pending.createdAt.getTime() + settledAfterMs - now().getTime();
  if (leftMs > 0) await pause(Math.min(leftMs, settledAfterMs));
  const { stages } = await called('DescribeSecret', () => describeSecret(secretsManager, secretArn));
  if (!stages[token]?.includes('AWSPENDING')) throw new NotPendingError();
  if (stages[versionId]?.includes('AWSCURRENT')) throw new OvertakenError('Its login is that of AWSCURRENT');
}

/**
 * The same for one who revokes, with no later rotation to count the time from: it is waited from now on, for AWSPENDING is off that
 * version already. False where AWSCURRENT has moved to it.
 *
 * @throws SecretsManagerError
 */
export async function isAbandoned(
  versionId: string,
  secretArn: string,
  { secretsManager, pause }: Pick<RotationParts, 'secretsManager' | 'pause'>,
): Promise<boolean> {
  await pause(settledAfterMs);
  const { stages } = await called('DescribeSecret', () => describeSecret(secretsManager, secretArn));
  return (stages[versionId] ?? []).length === 0;
}
