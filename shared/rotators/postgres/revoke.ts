import type { Revoked } from '../rotator.ts';
import { connected, inTransaction } from './connection.ts';
import type { PostgresLogin } from './credential.ts';
import { groupOf } from './names.ts';
import { identifier, lockGroup, roleOf } from './roles.ts';

/**
 * Makes the server refuse a superseded login, and ends the sessions that it still has: NOLOGIN alone leaves them open.
 *
 * The labels were read before this transaction. A rotation that began since then holds a version that they don't know, and has
 * written it on the role (ADR 3): such a login is left alone. A repeat finds the login refused already, and ends what
 * sessions a killed run left.
 */
export async function revokeLogin(options: {
  readonly superseded: PostgresLogin;
  readonly kept: readonly PostgresLogin[];
  readonly admin: PostgresLogin;
  readonly supersededVersionIds: ReadonlySet<string>;
}): Promise<Revoked> {
  const { superseded, kept, admin, supersededVersionIds } = options;
  const { username } = superseded;
  if (kept.some((login) => login.username === username)) return 'in use';
  return connected(admin, async (connection) => {
    const outcome = await inTransaction(connection, async (): Promise<Revoked | 'gone'> => {
      await lockGroup(connection, groupOf(username));
      const role = await roleOf(connection, username);
      if (!role) return 'gone';
      if (role.versionId !== undefined && !supersededVersionIds.has(role.versionId)) return 'in use';
      await connection.query(`ALTER ROLE ${identifier(username)} NOLOGIN PASSWORD NULL`);
      return 'revoked';
    });
    if (outcome === 'revoked') {
      await connection.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [
        username,
      ]);
    }
    return outcome === 'in use' ? 'in use' : 'revoked';
  });
}
