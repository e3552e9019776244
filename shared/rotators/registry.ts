import { InvalidSecretError } from '../credential/errors.ts';
import { postgres } from './postgres/postgres.ts';
import type { Rotator } from './rotator.ts';

/** One line a kind of credential. */
const rotators: Readonly<Record<string, Rotator>> = {
  postgres,
  'aurora-postgresql': postgres,
};

/** @throws InvalidSecretError that names the known engines, where this one isn't among them. */
export function rotatorOf(engine: string): Rotator {
  const rotator = Object.hasOwn(rotators, engine) ? rotators[engine] : undefined;
  if (!rotator) throw new InvalidSecretError('engine', `one of ${Object.keys(rotators).join(', ')}`);
  return rotator;
}
