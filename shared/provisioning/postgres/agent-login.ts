import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { describeSecret } from '../../labels/read.ts';
import { CredentialRefusedError } from '../../rotators/errors.ts';
import { type Connection, connected } from '../../rotators/postgres/connection.ts';
import { type PostgresLogin, postgresLogin, sameServer } from '../../rotators/postgres/credential.ts';
import { groupOf } from '../../rotators/postgres/names.ts';
import { identifier, literal, marking, roleOf } from '../../rotators/postgres/roles.ts';
import { scramVerifier } from '../../rotators/postgres/scram.ts';
import type { HeldVersion } from '../../rotators/rotator.ts';
import { called } from '../../secrets-manager/errors.ts';
import { readVersion } from '../../secrets-manager/versions.ts';
import { type Declaration, DeclarationError } from '../declaration.ts';
import type { Difference } from './difference.ts';

/** The login of AWSCURRENT, and the version that it is of. */
export interface CurrentLogin {
  readonly login: PostgresLogin;
  readonly version: HeldVersion;
}

/**
 * The login that an agent's secret holds; undefined where it holds none yet. It must be one of the agent's own, where the
 * declaration says that it is: whoever may write a secret could name somebody else's login in it.
 *
 * @throws DeclarationError
 */
export async function currentLogin(
  { agentId, postgres }: Declaration,
  secretName: string,
  client: SecretsManagerClient,
): Promise<CurrentLogin | undefined> {
  const version = await readVersion(client, secretName, { stage: 'AWSCURRENT' });
  if (!version || !postgres || version.value.reveal().engine === undefined) return undefined;
  const login = postgresLogin(version.value);
  const { host, port, database } = postgres;
  if (!sameServer(login, { ...login, host, port })) {
    throw new DeclarationError(`postgres.host: ${secretName} holds a login of another server`);
  }
  if (login.dbname !== database) {
    throw new DeclarationError(`postgres.database: ${secretName} holds a login of another database`);
  }
  if (groupOf(login.username) !== agentId) {
    throw new DeclarationError(`agentId: ${secretName} holds a login that is not the agent's by its name`);
  }
  return { login, version };
}

/** Whether the server takes a login, as it stands in its secret. */
export async function works(login: PostgresLogin): Promise<boolean> {
  try {
    await connected(login, async () => undefined);
    return true;
  } catch (error) {
    if (error instanceof CredentialRefusedError) return false;
    throw error;
  }
}

/**
 * The login that is AWSCURRENT must work with AWSCURRENT's password. A repair sets the password that the secret holds, never another;
 * it waits while a rotation is giving the same login a new one.
 */
export async function loginDifferences(
  connection: Connection,
  current: CurrentLogin | undefined,
  { name, isRefused }: { readonly name: string; readonly isRefused: boolean },
  isRotating: (current: CurrentLogin) => Promise<boolean>,
): Promise<readonly Difference[]> {
  const role = await roleOf(connection, name);
  if (role?.canLogIn && !isRefused) return [];
  if (role && current && (await isRotating(current))) return [];
  const line = role
    ? `  login ${name}: takes the password of AWSCURRENT again`
    : `+ login ${name}, with the password of AWSCURRENT`;
  if (!current) return [{ line, statements: [] }];
  const { login, version } = current;
  const verifier = literal(scramVerifier(login.password));
  return [
    {
      line,
      statements: [
        `ALTER ROLE ${identifier(name)} LOGIN PASSWORD ${verifier} VALID UNTIL 'infinity'`,
        marking(name, version),
      ],
    },
  ];
}

/** Whether a rotation is giving that login a new password, or has moved AWSCURRENT since it was read. */
export async function isBeingRotated(
  { login, version }: CurrentLogin,
  secretName: string,
  client: SecretsManagerClient,
): Promise<boolean> {
  const { stages } = await called('DescribeSecret', () => describeSecret(client, secretName));
  if (!stages[version.versionId]?.includes('AWSCURRENT')) return true;
  return logsInAs('AWSPENDING', login.username, secretName, client);
}

/** Whether the version under a label logs in by that name. */
export async function logsInAs(
  label: 'AWSPENDING' | 'AWSPREVIOUS',
  name: string,
  secretName: string,
  client: SecretsManagerClient,
): Promise<boolean> {
  const { stages } = await called('DescribeSecret', () => describeSecret(client, secretName));
  const own = Object.values(stages).find((labels) => labels.includes(label));
  if (!own || own.includes('AWSCURRENT')) return false;
  const version = await readVersion(client, secretName, { stage: label });
  return version?.value.reveal().username === name;
}
