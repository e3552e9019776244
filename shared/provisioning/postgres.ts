import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { NoCurrentVersionError } from '../rotation/errors.ts';
import { AdminPrivilegeError } from '../rotators/errors.ts';
import { type Connection, connected, inTransaction } from '../rotators/postgres/connection.ts';
import type { PostgresLogin } from '../rotators/postgres/credential.ts';
import { lacksPrivilege } from '../rotators/postgres/roles.ts';
import type { Change } from './change.ts';
import type { Declaration } from './declaration.ts';
import { adminOf } from './postgres/admin.ts';
import {
  type CurrentLogin,
  currentLogin,
  isBeingRotated,
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
  const differences = async () => {
    const evidence = await evidenceOf(declaration, parts);
    return connected(admin, (connection) =>
      differencesOn(connection, declaration, declared, { ...parts, ...evidence }),
    );
  };
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

/** Statements that are sent at once: a database far away is waited for once, and the whole takes less than one may take. */
const atOnce = 200;

/** The secret is read and its login tried before the lock is taken, for which all agents of the database wait. */
async function converge(
  declaration: Declaration,
  declared: Declared,
  admin: PostgresLogin,
  parts: PostgresParts,
): Promise<void> {
  const evidence = await evidenceOf(declaration, parts);
  if (!evidence.current) throw new NoCurrentVersionError(secretNameOf(declaration));
  const inBatchesOf = (size: number) =>
    connected(admin, (connection) =>
      inTransaction(connection, async () => {
        await lockAgent(connection, declaration.agentId);
        const all = await differencesOn(connection, declaration, declared, { ...parts, ...evidence });
        for (const batch of batched(all, size)) await make(connection, batch);
      }),
    );
  try {
    await inBatchesOf(atOnce);
  } catch (error) {
    if (!lacksPrivilege(error)) throw error;
    // Which of them it was is told by sending each on its own.
    await inBatchesOf(1);
  }
}

function batched(differences: readonly Difference[], size: number): readonly (readonly Difference[])[] {
  const count = Math.ceil(differences.length / size);
  return Array.from({ length: count }, (_, at) => differences.slice(at * size, (at + 1) * size));
}

async function make(connection: Connection, differences: readonly Difference[]): Promise<void> {
  const statements = differences.flatMap((each) => each.statements);
  if (statements.length === 0) return;
  try {
    await connection.query(statements.join(';\n'));
  } catch (error) {
    const [one, ...more] = differences;
    if (!lacksPrivilege(error) || !one || more.length > 0) throw error;
    throw new AdminPrivilegeError(`The admin login may not bring about: ${one.line}`);
  }
}

/** What the agent's secret shows, and the server of its login. */
interface Evidence {
  readonly current: CurrentLogin | undefined;
  readonly isProven: boolean;
}

async function evidenceOf(declaration: Declaration, { secretsManager }: PostgresParts): Promise<Evidence> {
  const current = await currentLogin(declaration, secretNameOf(declaration), secretsManager);
  return { current, isProven: current !== undefined && (await works(current.login)) };
}

async function differencesOn(
  connection: Connection,
  declaration: Declaration,
  declared: Declared,
  { secretsManager, current, isProven }: PostgresParts & Evidence,
): Promise<readonly Difference[]> {
  const secretName = secretNameOf(declaration);
  const roles = agentRoles(declaration, current?.login.username);
  // Where the secret holds no login, its login has no password that anybody knows.
  const isRefused = !isProven && (!current || (await mayConnect(connection, current)));
  return [
    ...(await roleDifferences(connection, roles, {
      isProven,
      isGroupInGrace: () => logsInAs('AWSPREVIOUS', roles.group, secretName, secretsManager),
    })),
    ...(await loginDifferences(connection, current, { name: roles.current, isRefused }, (login) =>
      isBeingRotated(login, secretName, secretsManager),
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
