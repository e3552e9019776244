import { AdminPrivilegeError, AlternateTakenError, ConfusedDeputyError, OvertakenError } from '../errors.ts';
import type { Application } from '../rotator.ts';
import { type Connection, connected, inTransaction } from './connection.ts';
import { type PostgresLogin, sameServer } from './credential.ts';
import { copySettings } from './login-settings.ts';
import { groupOf } from './names.ts';
import {
  identifier,
  isMember,
  isNewer,
  lacksPrivilege,
  literal,
  lockGroup,
  markRole,
  type Role,
  roleOf,
} from './roles.ts';
import { scramVerifier } from './scram.ts';

/**
 * Makes the twin of the current login, or gives the twin a new password: one transaction by the admin, so that there is never
 * a twin without its grants and settings. A repeat sets the same password and the same grants again.
 *
 * A run that was slow may come here when its rotation was given up, and the next one has set the twin's password and moved
 * AWSCURRENT to it. No label tells, for a read of it may lag; the twin itself does: it names the version that it holds. Where that
 * was made after AWSCURRENT's, its rotation was given up, or has moved AWSCURRENT to it by now: this is found out first.
 *
 * @throws OvertakenError, and what `ensureAbandoned` throws.
 */
export async function applyDualUser(twin: TwinApplication): Promise<void> {
  const { current, admin, version, ensureAbandoned } = twin;
  await proveOwnership(current, admin);
  const settled = new Set([version.versionId]);
  for (let held = await setUnlessHeld(twin, settled); held; held = await setUnlessHeld(twin, settled)) {
    await ensureAbandoned(held);
    settled.add(held);
  }
}

export interface TwinApplication
  extends Pick<Application, 'version' | 'currentCreatedAt' | 'ensureAbandoned'> {
  readonly pending: PostgresLogin;
  readonly current: PostgresLogin;
  readonly admin: PostgresLogin;
}

/** Changes nothing, and gives the version that the twin holds, where its rotation isn't known to be settled. */
function setUnlessHeld(
  { pending, current, currentCreatedAt, admin, version }: TwinApplication,
  settled: ReadonlySet<string>,
): Promise<string | undefined> {
  const group = groupOf(current.username);
  return connected(admin, (connection) =>
    withAdminRights(() =>
      inTransaction(connection, async () => {
        await lockGroup(connection, group);
        await proveGroup(connection, current.username, group);
        const role = await roleOf(connection, pending.username);
        if (isNewer(role, version.createdAt)) {
          throw new OvertakenError(
            `The login ${pending.username} holds a newer version than ${version.versionId}`,
          );
        }
        if (isNewer(role, currentCreatedAt) && role?.versionId && !settled.has(role.versionId)) {
          return role.versionId;
        }
        await setTwin(connection, role, pending, group);
        await copySettings(connection, current.username, pending.username);
        await keepConnectRight(connection, current, group);
        await markRole(connection, pending.username, version);
        return undefined;
      }),
    ),
  );
}

/**
 * Whoever may write an agent's secret could name somebody else's login in it, and the admin's power would do the rest. So the
 * current login must work, on the admin's own server: the same one, or the one that the agent's server is a replica of.
 */
async function proveOwnership(current: PostgresLogin, admin: PostgresLogin): Promise<void> {
  const { replica, system } = await connected(current, identityOf);
  if (sameServer(current, admin)) return;
  const primary = await connected({ ...current, host: admin.host, port: admin.port }, identityOf);
  if (!replica || system !== primary.system) {
    throw new ConfusedDeputyError("masterarn: the admin secret is of another server than the agent's");
  }
}

async function identityOf(connection: Connection): Promise<{ replica: boolean; system: unknown }> {
  const [row] = await connection.query(
    'SELECT pg_is_in_recovery() AS replica, system_identifier::text AS system FROM pg_control_system()',
  );
  return { replica: row?.replica === true, system: row?.system };
}

/** A name that only looks like one of a pair (`sales_a`) must not lead to a role that isn't the agent's. */
async function proveGroup(connection: Connection, username: string, group: string): Promise<void> {
  if (username !== group && !(await isMember(connection, username, group))) {
    throw new AlternateTakenError(
      `The login ${username} isn't a member of the role ${group}, which its name says it is`,
    );
  }
}

async function setTwin(
  connection: Connection,
  role: Role | undefined,
  twin: PostgresLogin,
  group: string,
): Promise<void> {
  const name = identifier(twin.username);
  const login = `LOGIN INHERIT PASSWORD ${literal(scramVerifier(twin.password))}`;
  if (!role) {
    await connection.query(`CREATE ROLE ${name} ${login}`);
  } else if (role.madeByKeyturn || (await isMember(connection, twin.username, group))) {
    await connection.query(`ALTER ROLE ${name} ${login}`);
  } else {
    throw new AlternateTakenError(`The role ${twin.username} exists, and isn't a member of ${group}`);
  }
  await connection.query(`GRANT ${identifier(group)} TO ${name} WITH INHERIT TRUE, SET TRUE`);
  // What either twin creates belongs to the group, so that the other can alter and drop it.
  await connection.query(`ALTER ROLE ${name} SET role = ${literal(group)}`);
}

/** CONNECT is asked of the login itself. Where PUBLIC lost it, a grant to one twin alone would keep the other out. */
async function keepConnectRight(
  connection: Connection,
  { dbname, username }: PostgresLogin,
  group: string,
): Promise<void> {
  const [row] = await connection.query(
    `SELECT has_database_privilege($1::name, $3::text, 'CONNECT') AND NOT has_database_privilege($2::name, $3::text, 'CONNECT')
       AS lost`,
    [username, group, dbname],
  );
  if (row?.lost === true) {
    await connection.query(`GRANT CONNECT ON DATABASE ${identifier(dbname)} TO ${identifier(group)}`);
  }
}

async function withAdminRights<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (lacksPrivilege(error)) {
      throw new AdminPrivilegeError(
        'The admin login needs CREATEROLE, and ADMIN OPTION on the group and its two logins',
      );
    }
    throw error;
  }
}
