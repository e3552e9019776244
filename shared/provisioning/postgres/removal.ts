import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod';
import { AdminPrivilegeError, AlternateTakenError } from '../../rotators/errors.ts';
import { type Connection, connected, inTransaction } from '../../rotators/postgres/connection.ts';
import { identifier, lockGroup } from '../../rotators/postgres/roles.ts';
import type { Change } from '../change.ts';
import type { Declaration } from '../declaration.ts';
import { adminOf } from './admin.ts';
import { lockAgent } from './lock.ts';

interface RemovalParts {
  readonly secretsManager: SecretsManagerClient;
}

const rolesOf = (agentId: string) => [agentId, `${agentId}_a`, `${agentId}_b`];
/** Those that are the agent's own by what they say or whose members they are; a role that only has the name is somebody else's. */
const ownRoles = `SELECT oid, rolname, rolcanlogin FROM pg_roles r WHERE rolname = ANY($1)
  AND (shobj_description(oid, 'pg_authid') LIKE 'keyturn:%'
    OR shobj_description(oid, 'pg_authid') = 'Agent ' || ($1::text[])[1] || ', provisioned by Keyturn'
    OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid AND pg_get_userbyid(m.roleid) = ($1::text[])[1]))`;

async function assertOwn(connection: Connection, agentId: string): Promise<void> {
  const [other] = await connection.query(
    `SELECT rolname FROM pg_roles WHERE rolname = ANY($1) AND rolname NOT IN (SELECT rolname FROM (${ownRoles}) own)`,
    [rolesOf(agentId)],
  );
  if (!other) return;
  throw new AlternateTakenError(
    `The role ${other.rolname} exists, and nothing shows that it is this agent's`,
  );
}

const open = z.object({ login: z.string(), sessions: z.coerce.number(), canlogin: z.boolean() });

/** How long the end of a session is waited for. */
const endsWithinMs = 5_000;

/**
 * Ends an agent's access to PostgreSQL: first its logins are refused, then the sessions that they have are ended, since NOLOGIN
 * leaves those open. Repeated, it ends what a killed run left.
 */
export async function planLoginsEnd(
  { agentId, postgres: declared }: Declaration,
  { secretsManager }: RemovalParts,
): Promise<readonly Change[]> {
  if (!declared) return [];
  const admin = await adminOf(declared, secretsManager);
  const found = await connected(admin, (connection) => openOf(connection, agentId));
  if (found.length === 0) return [];
  return [
    {
      system: 'PostgreSQL',
      resource: `logins of ${agentId} on ${declared.host}:${declared.port}`,
      action: 'delete',
      diff: [
        ...found.filter(({ canlogin }) => canlogin).map(({ login }) => `- login ${login}`),
        ...found
          .filter(({ sessions }) => sessions > 0)
          .map(({ login, sessions }) => `- ${sessions} open session(s) of ${login}`),
      ],
      apply: () =>
        connected(admin, async (connection) => {
          await inTransaction(connection, async () => {
            await lockGroup(connection, agentId);
            for (const { login, canlogin } of await openOf(connection, agentId)) {
              if (canlogin) await connection.query(`ALTER ROLE ${identifier(login)} NOLOGIN PASSWORD NULL`);
            }
          });
          await connection.query(
            'SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE usename = ANY($1)',
            [rolesOf(agentId), endsWithinMs],
          );
          const [left] = await openOf(connection, agentId);
          if (left) throw new AdminPrivilegeError(`The admin login can't end the sessions of ${left.login}`);
        }),
    },
  ];
}

async function openOf(connection: Connection, agentId: string): Promise<readonly z.output<typeof open>[]> {
  await assertOwn(connection, agentId);
  return z.array(open).parse(
    await connection.query(
      `SELECT r.rolname AS login, r.rolcanlogin AS canlogin,
           (SELECT count(*) FROM pg_stat_activity s WHERE s.usesysid = r.oid) AS sessions
         FROM (${ownRoles}) r
         WHERE r.rolcanlogin OR EXISTS (SELECT FROM pg_stat_activity s WHERE s.usesysid = r.oid) ORDER BY 1`,
      [rolesOf(agentId)],
    ),
  );
}

const owned = z.object({ what: z.string() });

/**
 * Removes an agent's roles. What they own goes to the admin: nothing that the agent made is lost, and the server refuses to drop a
 * role that owns things in another database. One transaction, so it is done or not.
 */
export async function planRolesEnd(
  { agentId, postgres: declared }: Declaration,
  { secretsManager }: RemovalParts,
): Promise<readonly Change[]> {
  if (!declared) return [];
  const admin = await adminOf(declared, secretsManager);
  const { roles, things } = await connected(admin, (connection) => heldBy(connection, agentId));
  if (roles.length === 0) return [];
  return [
    {
      system: 'PostgreSQL',
      resource: `role ${agentId} on ${declared.host}:${declared.port}/${declared.database}`,
      action: 'delete',
      diff: [
        ...things.map((what) => `  ${what} goes to ${admin.username}`),
        ...roles.map((role) => `- role ${role}`),
      ],
      apply: () =>
        connected(admin, (connection) =>
          inTransaction(connection, async () => {
            await lockAgent(connection, agentId);
            const left = await heldBy(connection, agentId);
            if (left.roles.length === 0) return;
            const names = left.roles.map(identifier).join(', ');
            // An admin that is no superuser gives away only what is its own by then.
            await connection.query(`GRANT ${names} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE`);
            await connection.query(`REASSIGN OWNED BY ${names} TO CURRENT_USER`);
            // Privileges and defaults are left, and go.
            const { things: kept } = await heldBy(connection, agentId);
            if (kept.length > 0) throw new AdminPrivilegeError(`The admin login can't take over ${kept[0]}`);
            await connection.query(`DROP OWNED BY ${names}`);
            await connection.query(`DROP ROLE ${names}`);
          }),
        ),
    },
  ];
}

async function heldBy(
  connection: Connection,
  agentId: string,
): Promise<{ readonly roles: readonly string[]; readonly things: readonly string[] }> {
  await assertOwn(connection, agentId);
  const roles = await connection.query(`${ownRoles} ORDER BY rolname`, [rolesOf(agentId)]);
  const things = await connection.query(
    `SELECT i.type || ' ' || i.identity AS what FROM pg_shdepend d JOIN (${ownRoles}) r ON r.oid = d.refobjid,
         pg_identify_object(d.classid, d.objid, d.objsubid) i
       WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND d.classid <> 'pg_default_acl'::regclass
         AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) ORDER BY 1`,
    [rolesOf(agentId)],
  );
  return {
    roles: roles.map(({ rolname }) => String(rolname)),
    things: z
      .array(owned)
      .parse(things)
      .map(({ what }) => what),
  };
}
