import { describeFleetSecret, type FleetSecret } from '../../shared/fleet/secrets.ts';
import { SecretsManagerError } from '../../shared/secrets-manager/errors.ts';
import type { ReconcileParts } from './kind.ts';

/** A person asked for a secret that there is not: a slip of the name, or of the account. */
export class NoSuchSecretError extends Error {
  override readonly name = 'NoSuchSecretError';
}

/**
 * A secret that a person asks for, by name or ARN. Undefined where it isn't the platform's, or is being deleted.
 *
 * @throws NoSuchSecretError
 */
export async function askedSecret(
  secretId: string,
  { secretsManager }: Pick<ReconcileParts, 'secretsManager'>,
): Promise<FleetSecret | undefined> {
  try {
    return await describeFleetSecret(secretsManager, secretId);
  } catch (error) {
    const isGone = error instanceof SecretsManagerError && error.code === 'ResourceNotFoundException';
    throw isGone ? new NoSuchSecretError(`There is no secret ${secretId}`) : error;
  }
}
