import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { AdminPrivilegeError } from '../../rotators/errors.ts';
import { type Connection, connected, inTransaction } from '../../rotators/postgres/connection.ts';
import { identifier } from '../../rotators/postgres/roles.ts';
import type { Change } from '../change.ts';
import type { Declaration } from '../declaration.ts';
import { serverAdminOf } from './admin.ts';
import { estateOf, hasEstate, leaveToEstate } from './estate.ts';
import { lockAgent } from './lock.ts';
import { assertNoOthers, ownRoles } from './own-roles.ts';

interface RolesEndParts {
  readonly secretsManager: SecretsManagerClient;
}

/** The agent's roles have something in databases that Keyturn doesn't look into. Take it from them there, and run it again. */
export class UsedElsewhereError extends Error {
  override readonly name = 'UsedElsewhereError';
}

/**
 * Removes an agent's roles. What they own is left to a role that nobody can log in as: nothing that the agent made is lost. One
 * transaction, so it is done or not.
 *
 * @throws AlternateTakenError, AdminPrivilegeError, UsedElsewhereError, and what `serverAdminOf` and connecting throw.
 */
export async function planRolesEnd(
  declaration: Declaration,
  { secretsManager }: RolesEndParts,
): Promise<readonly Change[]> {
  const { agentId, postgres: declared } = declaration;
  if (!declared) return [];
  const admin = await serverAdminOf(declared, secretsManager);
  const rolesOn = async (connection: Connection) => {
    const roles = await ownRoles(connection, declaration, secretsManager);
    assertNoOthers(roles);
    return roles.own;
  };
  const { roles, things } = await connected(admin, async (connection) => {
    const found = await rolesOn(connection);
    const owned = await ownedBy(connection, found);
    if (owned.length > 0) await hasEstate(connection, agentId);
    return { roles: found, things: owned };
  });
  if (roles.length === 0) return [];
  return [
    {
      system: 'PostgreSQL',
      resource: `role ${agentId} on ${declared.host}:${declared.port}/${declared.database}`,
      action: 'delete',
      diff: [
        ...things.map((what) => `  ${what} goes to ${estateOf(agentId)}`),
        ...roles.map((role) => `- role ${role}`),
      ],
      apply: () =>
        connected(admin, (connection) =>
          inTransaction(connection, async () => {
            await lockAgent(connection, agentId);
            const left = await rolesOn(connection);
            if (left.length > 0) await remove(connection, agentId, left);
          }),
        ),
    },
  ];
}

async function remove(connection: Connection, agentId: string, roles: readonly string[]): Promise<void> {
  await assertUsedHereOnly(connection, agentId, roles);
  const names = roles.map(identifier).join(', ');
  // What another role owns or granted is taken back by who is a member of both.
  await connection.query(`GRANT ${names} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE`);
  if ((await ownedBy(connection, roles)).length > 0) await leaveToEstate(connection, agentId, roles);
  // Privileges and defaults are left, and go.
  const [kept] = await ownedBy(connection, roles);
  if (kept !== undefined) throw new AdminPrivilegeError(`The admin login can't give away ${kept}`);
  await connection.query(`DROP OWNED BY ${names}`);
  await connection.query(`DROP ROLE ${names}`);
}

/** PostgreSQL drops no role that another database still knows. */
async function assertUsedHereOnly(
  connection: Connection,
  agentId: string,
  roles: readonly string[],
): Promise<void> {
  const rows = await connection.query(
    `SELECT DISTINCT b.datname AS name FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid JOIN pg_database b ON b.oid = d.dbid
       WHERE d.refclassid = 'pg_authid'::regclass AND r.rolname = ANY($1) AND b.datname <> current_database() ORDER BY 1`,
    [roles],
  );
  if (rows.length === 0) return;
  const databases = rows.map(({ name }) => String(name)).join(', ');
  throw new UsedElsewhereError(
    `${agentId} owns things or has privileges in other databases (${databases}). In each of them, as an admin: CREATE ROLE heir NOLOGIN; REASSIGN OWNED BY ${roles.join(', ')} TO heir; and only then DROP OWNED BY ${roles.join(', ')}. An heir of your own login's rights would run the agent's code with them`,
  );
}

/** What they own in this database, and of the server itself. */
async function ownedBy(connection: Connection, roles: readonly string[]): Promise<readonly string[]> {
  const rows = await connection.query(
    `SELECT i.type || ' ' || i.identity AS what FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid,
         pg_identify_object(d.classid, d.objid, d.objsubid) i
       WHERE d.refclassid = 'pg_authid'::regclass AND r.rolname = ANY($1) AND d.deptype = 'o'
         AND d.classid <> 'pg_default_acl'::regclass
         AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) ORDER BY 1`,
    [roles],
  );
  return rows.map(({ what }) => String(what));
}
