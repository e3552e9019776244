import type { Engine } from '../../../local/secrets-manager/engine.ts';
import type { RotationEvent } from '../../../local/secrets-manager/rotation.ts';

/** A function that died holds its locks for five seconds, and may have waited for those of another. */
export const quietMs = 20_000;

/**
 * Whether a step that failed had no right to. Repeated, or run twice at once, a step does no harm, so it fails where something went
 * wrong of late or where its rotation was taken from it, and never else.
 */
export async function isStillWanted(
  engine: Engine,
  { SecretId, ClientRequestToken }: RotationEvent,
): Promise<boolean> {
  const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId });
  const labels = VersionIdsToStages[ClientRequestToken] ?? [];
  return labels.includes('AWSPENDING') && !labels.includes('AWSCURRENT');
}
