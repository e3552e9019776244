import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { NoCurrentVersionError } from '../../rotation/errors.ts';
import { ConfusedDeputyError } from '../../rotators/errors.ts';
import { type PostgresLogin, postgresLogin, sameServer } from '../../rotators/postgres/credential.ts';
import { readVersion } from '../../secrets-manager/versions.ts';
import type { Declaration } from '../declaration.ts';

/**
 * The admin login of a declared server. Its secret must be of that server, so that a declaration can't send it elsewhere; one that
 * RDS manages holds a username and a password only.
 *
 * @throws NoCurrentVersionError, ConfusedDeputyError
 */
export async function adminOf(
  { adminSecretArn, host, port, ssl, database }: NonNullable<Declaration['postgres']>,
  client: SecretsManagerClient,
): Promise<PostgresLogin> {
  const secret = await readVersion(client, adminSecretArn, { stage: 'AWSCURRENT' });
  if (!secret) throw new NoCurrentVersionError('The admin secret (postgres.adminSecretArn)');
  const held = secret.value.reveal();
  const login = postgresLogin(
    secret.value.with({
      dbname: database,
      engine: held.engine ?? 'postgres',
      host: held.host ?? host,
      port: held.port ?? port,
      ssl: held.ssl ?? ssl,
    }),
  );
  if (!sameServer(login, { ...login, host, port })) {
    throw new ConfusedDeputyError('postgres.adminSecretArn: the admin secret is of another server');
  }
  return login;
}
