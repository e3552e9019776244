import type { Revoked } from '../rotator.ts';
import { type Connection, connected, inTransaction } from './connection.ts';
import type { PostgresLogin } from './credential.ts';
import { groupOf } from './names.ts';
import { identifier, lockGroup, roleOf } from './roles.ts';

interface LoginRevocation {
  readonly superseded: PostgresLogin;
  readonly kept: readonly PostgresLogin[];
  readonly admin: PostgresLogin;
  readonly supersededVersionIds: ReadonlySet<string>;
  /** The logins of all superseded versions; read when needed. */
  readonly earlier: () => Promise<readonly PostgresLogin[]>;
}

/**
 * Makes the server refuse a superseded login, and ends the sessions that it still has: NOLOGIN alone leaves them open.
 *
 * An adopted login is its twins' group (ADR 2). Where its own revocation was missed until a twin is superseded, it goes with that
 * one: it was superseded before, so its grace period has ended too.
 *
 * A repeat finds the login refused already, and ends what sessions a killed run left.
 */
export async function revokeLogin(revocation: LoginRevocation): Promise<Revoked> {
  const { superseded, admin } = revocation;
  const { username } = superseded;
  if (isKept(username, revocation)) return 'in use';
  return connected(admin, async (connection) => {
    const outcome = await refuse(connection, username, revocation);
    if (outcome === 'in use') return outcome;
    const group = groupOf(username);
    if (group !== username && !isKept(group, revocation)) await revokeAdopted(connection, group, revocation);
    return 'revoked';
  });
}

async function revokeAdopted(
  connection: Connection,
  group: string,
  revocation: LoginRevocation,
): Promise<void> {
  const role = await roleOf(connection, group);
  if (!role) return;
  if (!role.canLogIn) return endSessions(connection, group);
  // A login of this name that the secret never held is somebody else's.
  const isOurs = (await revocation.earlier()).some(({ username }) => username === group);
  if (isOurs) await refuse(connection, group, revocation);
}

/**
 * The labels were read before this transaction. A rotation that began since then holds a version that they don't know, and has
 * written it on the role (ADR 3): such a login is left alone.
 */
async function refuse(connection: Connection, name: string, revocation: LoginRevocation): Promise<Revoked> {
  const outcome = await inTransaction(connection, async (): Promise<Revoked> => {
    await lockGroup(connection, groupOf(name));
    const role = await roleOf(connection, name);
    if (!role) return 'revoked';
    if (role.versionId !== undefined && !revocation.supersededVersionIds.has(role.versionId)) return 'in use';
    await connection.query(`ALTER ROLE ${identifier(name)} NOLOGIN PASSWORD NULL`);
    return 'revoked';
  });
  if (outcome === 'revoked') await endSessions(connection, name);
  return outcome;
}

async function endSessions(connection: Connection, name: string): Promise<void> {
  await connection.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [name]);
}

function isKept(name: string, { kept }: LoginRevocation): boolean {
  return kept.some(({ username }) => username === name);
}
