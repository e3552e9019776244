import { GrantsMissingError } from '../errors.ts';
import { type Connection, connected } from './connection.ts';
import type { PostgresLogin } from './credential.ts';
import { groupOf } from './names.ts';
import { identifier, isMember, roleOf } from './roles.ts';

/**
 * Logs in and looks at the session as an agent's would be: a twin works in its group's role, which holds every privilege. A
 * `SELECT 1` alone would promote a login without grants.
 *
 * @throws GrantsMissingError, and what logging in throws.
 */
export async function verifyLogin(
  login: PostgresLogin,
  strategy?: 'dual-user' | 'single-user',
): Promise<void> {
  const { username } = login;
  await connected(login, async (connection) => {
    const [session] = await connection.query(
      'SELECT current_user::text AS role, session_user::text AS login',
    );
    if (session?.login !== username) {
      throw new GrantsMissingError(`The session of ${username} is another login's`);
    }
    const group = groupOf(username);
    const twin = strategy ? strategy === 'dual-user' : await isTwin(connection, username, group);
    if (!twin) return;
    if (session.role !== group) {
      throw new GrantsMissingError(`A session of ${username} doesn't work in the role ${group}`);
    }
    const [right] = await connection.query(
      `SELECT pg_has_role(session_user, to_regrole($1), 'USAGE') AS inherits`,
      [identifier(group)],
    );
    if (right?.inherits !== true) {
      throw new GrantsMissingError(`${username} doesn't inherit the privileges of ${group}`);
    }
  });
}

/** A login whose name merely ends in `_a` is nobody's twin. One of ours that lost its group is one still, and is broken. */
async function isTwin(connection: Connection, username: string, group: string): Promise<boolean> {
  if (username === group) return false;
  const role = await roleOf(connection, username);
  return role?.madeByKeyturn === true || (await isMember(connection, username, group));
}
