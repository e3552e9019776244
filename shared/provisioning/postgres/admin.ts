import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { SecretJson } from '../../credential/secret-json.ts';
import { NoCurrentVersionError } from '../../rotation/errors.ts';
import { ConfusedDeputyError } from '../../rotators/errors.ts';
import {
  type AdminLogin,
  asAdmin,
  onServerOf,
  postgresLogin,
  sameServer,
} from '../../rotators/postgres/credential.ts';
import { readVersion } from '../../secrets-manager/versions.ts';
import type { Declaration } from '../declaration.ts';

type Server = NonNullable<Declaration['postgres']>;

/**
 * The admin login of a declared server. Its secret must be of that server, so that a declaration can't send it elsewhere.
 *
 * @throws NoCurrentVersionError, ConfusedDeputyError
 */
export async function adminOf(server: Server, client: SecretsManagerClient): Promise<AdminLogin> {
  return loginIn(server.database, await adminSecret(server, client), server);
}

/**
 * The admin login in the declared database, or where that is gone or shut, in the admin's own or `postgres`: roles are the server's,
 * and outlive the databases that they worked in.
 *
 * @throws what `adminOf` throws.
 */
export async function serverAdminOf(server: Server, client: SecretsManagerClient): Promise<AdminLogin> {
  const secret = await adminSecret(server, client);
  return asAdmin(loginIn(server.database, secret, server), secret.reveal().dbname);
}

async function adminSecret({ adminSecretArn }: Server, client: SecretsManagerClient): Promise<SecretJson> {
  const secret = await readVersion(client, adminSecretArn, { stage: 'AWSCURRENT' });
  if (!secret) throw new NoCurrentVersionError('The admin secret (postgres.adminSecretArn)');
  return secret.value;
}

function loginIn(database: string, secret: SecretJson, { host, port, ssl }: Server): AdminLogin {
  const login = postgresLogin(onServer(secret, { host, port, ssl, database }));
  if (!sameServer(login, { ...login, host, port })) {
    throw new ConfusedDeputyError('postgres.adminSecretArn: the admin secret is of another server');
  }
  return { ...login, otherDatabases: [] };
}

/** An admin secret, with what it leaves out as declared. */
export function onServer(
  admin: SecretJson,
  { host, port, ssl, database }: Pick<Server, 'host' | 'port' | 'ssl' | 'database'>,
): SecretJson {
  return onServerOf(admin, { host, port, dbname: database, tls: ssl });
}

/** SQLSTATE: told only to a login that the server takes. */
export const noSuchDatabase = '3D000';
