import { createHash } from 'node:crypto';
import { AdminPrivilegeError, AlternateTakenError } from '../../rotators/errors.ts';
import type { Connection } from '../../rotators/postgres/connection.ts';
import { identifier, lacksPrivilege, literal } from '../../rotators/postgres/roles.ts';

const longestName = 63;

/**
 * The role that what an agent owned is left to: no login, no power, no member, and no privilege but on these things. Code runs with
 * the rights of its owner, and an agent may have left some that anybody may call (SECURITY DEFINER): as an admin's it would be
 * anybody's way to the admin's power, and as that of a role for all agents, to what other agents left.
 *
 * An agent's id has no underscore, so that no agent's roles have this name.
 *
 * @example estateOf('billing'); // 'billing_estate'
 */
export function estateOf(agentId: string): string {
  const name = `${agentId}_estate`;
  if (name.length <= longestName) return name;
  return `${agentId.slice(0, 47)}_${createHash('sha256').update(agentId).digest('hex').slice(0, 8)}_estate`;
}

const markOf = (agentId: string) =>
  `What agent ${agentId} owned, kept by Keyturn: take it over, then drop this role`;

/** @throws AlternateTakenError where a role of that name is somebody else's, or has got a login or powers since. */
export async function hasEstate(connection: Connection, agentId: string): Promise<boolean> {
  const estate = estateOf(agentId);
  const [role] = await connection.query(
    `SELECT shobj_description(oid, 'pg_authid') IS NOT DISTINCT FROM $2 AS noted,
         rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
           OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS powerful
       FROM pg_roles r WHERE rolname = $1`,
    [estate, markOf(agentId)],
  );
  if (!role) return false;
  if (role.noted === true && role.powerful === false) return true;
  const why = role.noted === true ? 'can log in or has powers' : "isn't Keyturn's";
  throw new AlternateTakenError(`The role ${estate}, which is to own what the agent made, ${why}: rename it`);
}

/**
 * Gives what these roles of an agent own, in this database and of the server itself, to its estate. They are to be dropped in the
 * same transaction: what they are granted for it goes with them.
 *
 * @throws AlternateTakenError, AdminPrivilegeError
 */
export async function leaveToEstate(
  connection: Connection,
  agentId: string,
  roles: readonly string[],
): Promise<void> {
  const estate = identifier(estateOf(agentId));
  const names = roles.map(identifier).join(', ');
  const isThere = await hasEstate(connection, agentId);
  try {
    if (!isThere) {
      await connection.query(`CREATE ROLE ${estate} NOLOGIN NOINHERIT`);
      await connection.query(`COMMENT ON ROLE ${estate} IS ${literal(markOf(agentId))}`);
    }
    // An admin that is no superuser gives away only what it could own, to who could make it there.
    await connection.query(`GRANT ${estate} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE`);
    await connection.query(`GRANT ${names} TO ${estate} WITH INHERIT TRUE, SET FALSE`);
    for (const schema of await closedSchemas(connection, roles)) {
      await connection.query(`GRANT CREATE ON SCHEMA ${identifier(schema)} TO ${names}`);
    }
    await connection.query(`REASSIGN OWNED BY ${names} TO ${estate}`);
    await connection.query(`REVOKE ${estate} FROM CURRENT_USER`);
  } catch (error) {
    if (!lacksPrivilege(error)) throw error;
    throw new AdminPrivilegeError(
      `The admin login can't give all that ${agentId} owns to ${estateOf(agentId)}: do it by hand`,
    );
  }
}

/** Schemas of what they own in which they may make nothing by now, and the admin may let them. */
async function closedSchemas(connection: Connection, roles: readonly string[]): Promise<readonly string[]> {
  const rows = await connection.query(
    `SELECT DISTINCT n.nspname AS name FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid,
         pg_identify_object(d.classid, d.objid, d.objsubid) i JOIN pg_namespace n ON n.nspname = i.schema
       WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND r.rolname = ANY($1)
         AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND NOT has_schema_privilege(r.oid, n.oid, 'CREATE')
         AND has_schema_privilege(n.oid, 'CREATE WITH GRANT OPTION')`,
    [roles],
  );
  return rows.map(({ name }) => String(name));
}
