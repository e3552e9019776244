import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { NoCurrentVersionError } from '../rotation/errors.ts';
import { AdminPrivilegeError, TargetFailedError } from '../rotators/errors.ts';
import { type Connection, connected, inTransaction } from '../rotators/postgres/connection.ts';
import type { PostgresLogin } from '../rotators/postgres/credential.ts';
import type { Change } from './change.ts';
import type { Declaration } from './declaration.ts';
import { adminOf } from './postgres/admin.ts';
import {
  type CurrentLogin,
  currentLogin,
  loginDifferences,
  logsInAs,
  works,
} from './postgres/agent-login.ts';
import { agentRoles, roleDifferences } from './postgres/agent-roles.ts';
import type { Difference } from './postgres/difference.ts';
import { lockAgent } from './postgres/lock.ts';
import { privilegeDifferences } from './postgres/privileges.ts';
import { secretNameOf } from './secret-name.ts';

type Declared = NonNullable<Declaration['postgres']>;

export interface PostgresParts {
  readonly secretsManager: SecretsManagerClient;
}

/**
 * What is to be done in PostgreSQL for an agent: a NOLOGIN group with exactly the declared privileges, and two logins in it, of
 * which the one that AWSCURRENT names can log in. Only reads, the log-in of the agent among them.
 *
 * Applied, it looks again, under the lock that rotation and revocation take, and makes everything so in one transaction. So it may
 * be killed, repeated, or run beside a rotation: it touches no password but AWSCURRENT's, and the twin's not at all.
 *
 * @throws DeclarationError, AlternateTakenError, NoCurrentVersionError, ConfusedDeputyError, and what connecting throws.
 */
export async function planPostgres(
  declaration: Declaration,
  parts: PostgresParts,
): Promise<readonly Change[]> {
  const { agentId, postgres: declared } = declaration;
  if (!declared) return [];
  const admin = await adminOf(declared, parts.secretsManager);
  const differences = () =>
    connected(admin, (connection) => differencesOn(connection, declaration, declared, parts));
  const found = await differences();
  if (found.length === 0) return [];
  return [
    {
      system: 'PostgreSQL',
      resource: `role ${agentId} on ${declared.host}:${declared.port}/${declared.database}`,
      action: found.some(({ line }) => line === `+ role ${agentId}`) ? 'create' : 'update',
      diff: found.map(({ line }) => line),
      async apply() {
        // The second time for a login whose password could not be tried before it might connect.
        for (let attempt = 0; attempt < 2; attempt += 1) {
          await converge(declaration, declared, admin, parts);
          const [left] = await differences();
          if (!left) return;
          if (attempt === 1) throw new AdminPrivilegeError(`The admin login can't bring about: ${left.line}`);
        }
      },
    },
  ];
}

async function converge(
  declaration: Declaration,
  declared: Declared,
  admin: PostgresLogin,
  parts: PostgresParts,
): Promise<void> {
  const secretName = secretNameOf(declaration);
  if (!(await currentLogin(declaration, secretName, parts.secretsManager))) {
    throw new NoCurrentVersionError(secretName);
  }
  await connected(admin, (connection) =>
    inTransaction(connection, async () => {
      await lockAgent(connection, declaration.agentId);
      for (const { line, statements } of await differencesOn(connection, declaration, declared, parts)) {
        for (const statement of statements) await done(connection, statement, line);
      }
    }),
  );
}

const insufficientPrivilege = '42501';

async function done(connection: Connection, statement: string, line: string): Promise<void> {
  try {
    await connection.query(statement);
  } catch (error) {
    if (!(error instanceof TargetFailedError) || error.code !== insufficientPrivilege) throw error;
    throw new AdminPrivilegeError(`The admin login may not bring about: ${line}`);
  }
}

async function differencesOn(
  connection: Connection,
  declaration: Declaration,
  declared: Declared,
  { secretsManager }: PostgresParts,
): Promise<readonly Difference[]> {
  const secretName = secretNameOf(declaration);
  const current = await currentLogin(declaration, secretName, secretsManager);
  const roles = agentRoles(declaration, current?.login.username);
  const isProven = current !== undefined && (await works(current.login));
  // Where the secret holds no login, its login has no password that anybody knows.
  const isRefused = !isProven && (!current || (await mayConnect(connection, current)));
  const label = (of: 'AWSPENDING' | 'AWSPREVIOUS', name: string) =>
    logsInAs(of, name, secretName, secretsManager);
  return [
    ...(await roleDifferences(connection, roles, {
      isProven,
      isGroupInGrace: () => label('AWSPREVIOUS', roles.group),
    })),
    ...(await loginDifferences(connection, current, { name: roles.current, isRefused }, () =>
      label('AWSPENDING', roles.current),
    )),
    ...(await privilegeDifferences(connection, declared, roles)),
  ];
}

/** A login that may not connect to the database is refused too, whatever its password. */
async function mayConnect(connection: Connection, { login }: CurrentLogin): Promise<boolean> {
  const [row] = await connection.query(
    `SELECT has_database_privilege(oid, $2::text, 'CONNECT') AS may FROM pg_roles WHERE rolname = $1`,
    [login.username, login.dbname],
  );
  return row?.may === true;
}
