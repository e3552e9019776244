import { readVersion, type SecretVersion } from '../secrets-manager/versions.ts';
import { NotPendingError, UnknownVersionError } from './errors.ts';
import { positionOf } from './position.ts';
import type { Rotation, RotationParts } from './rotation.ts';

/** What was put or labelled a moment ago may not show yet. */
const pausesMs = [100, 400];

/**
 * The version that a rotation made, or undefined where it is AWSCURRENT already. One read by id tells its value and its labels,
 * so it stands in for DescribeSecret (ADR 1).
 *
 * @throws UnknownVersionError, NotPendingError
 */
export async function pendingVersion(
  { secretArn, token }: Rotation,
  { secretsManager, pause }: RotationParts,
): Promise<SecretVersion | undefined> {
  const look = async () => {
    const version = await readVersion(secretsManager, secretArn, { versionId: token });
    if (!version) throw new UnknownVersionError();
    return positionOf(version.stages) === 'current' ? undefined : version;
  };
  for (const ms of pausesMs) {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof UnknownVersionError || error instanceof NotPendingError)) throw error;
      await pause(ms);
    }
  }
  return look();
}
