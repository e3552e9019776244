import type { DescribedSecret } from '../labels/read.ts';
import { versionWith } from '../labels/stages.ts';
import {
  NoCurrentVersionError,
  NotPendingError,
  RotationDisabledError,
  UnknownVersionError,
} from './errors.ts';

/**
 * Where a version stands in a rotation, judged from its labels alone. `current`: the rotation is over, and nothing is left to
 * do, at whatever step. AWSPENDING may sit on the current version still.
 *
 * @throws NotPendingError
 */
export function positionOf(stages: readonly string[]): 'current' | 'pending' {
  if (stages.includes('AWSCURRENT')) return 'current';
  if (stages.includes('AWSPENDING')) return 'pending';
  throw new NotPendingError();
}

/**
 * Where the version with this token stands, of a secret that rotates.
 *
 * @throws RotationDisabledError, UnknownVersionError, NotPendingError
 */
export function standingOf(secret: DescribedSecret, token: string): 'current' | 'pending' {
  if (!secret.rotationEnabled) throw new RotationDisabledError();
  const own = Object.hasOwn(secret.stages, token) ? secret.stages[token] : undefined;
  if (!own) throw new UnknownVersionError();
  return positionOf(own);
}

/**
 * Labels that show the token are no older than its rotation, and a read by label may be: it would give the version before, whose
 * twin is the very login that AWSCURRENT has by now.
 *
 * @throws NoCurrentVersionError
 */
export function currentVersionIdOf(secret: DescribedSecret): string {
  const current = versionWith('AWSCURRENT', secret);
  if (current === undefined) throw new NoCurrentVersionError();
  return current;
}
