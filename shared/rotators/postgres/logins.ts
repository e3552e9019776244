import type { TargetLogin } from '../rotator.ts';
import { connected } from './connection.ts';
import type { PostgresLogin } from './credential.ts';
import { groupOf } from './names.ts';
import { versionIn } from './roles.ts';

/** All roles of a server that may log in. Roles are the server's, not a database's. */
export async function loginsOn(admin: PostgresLogin): Promise<readonly TargetLogin[]> {
  const rows = await connected(admin, (connection) =>
    connection.query(
      `SELECT rolname::text AS name, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles
         WHERE rolcanlogin AND (rolvaliduntil IS NULL OR rolvaliduntil > now())`,
    ),
  );
  const server = `${admin.host.toLowerCase()}:${admin.port}`;
  return rows.map((row) => {
    const name = String(row.name);
    return { server, name, group: groupOf(name), versionId: versionIn(row.comment) };
  });
}
