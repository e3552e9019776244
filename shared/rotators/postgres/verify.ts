import { GrantsMissingError } from '../errors.ts';
import { connected } from './connection.ts';
import type { PostgresLogin } from './credential.ts';
import { groupOf } from './names.ts';
import { identifier } from './roles.ts';

/**
 * Logs in and looks at the session as an agent's would be: a twin works in its group's role, which holds every privilege. A
 * `SELECT 1` alone would promote a login without grants.
 */
export async function verifyLogin({ login, twin }: { login: PostgresLogin; twin: boolean }): Promise<void> {
  await connected(login, async (connection) => {
    const group = twin ? groupOf(login.username) : login.username;
    const [session] = await connection.query(
      'SELECT current_user::text AS role, session_user::text AS login',
    );
    if (session?.login !== login.username) {
      throw new GrantsMissingError(`The session of ${login.username} is another login's`);
    }
    if (!twin) return;
    if (session.role !== group) {
      throw new GrantsMissingError(`A session of ${login.username} doesn't work in the role ${group}`);
    }
    const [right] = await connection.query(
      `SELECT pg_has_role(session_user, to_regrole($1), 'USAGE') AS inherits`,
      [identifier(group)],
    );
    if (right?.inherits !== true) {
      throw new GrantsMissingError(`${login.username} doesn't inherit the privileges of ${group}`);
    }
  });
}
