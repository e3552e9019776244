import { NotPendingError } from './errors.ts';

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
