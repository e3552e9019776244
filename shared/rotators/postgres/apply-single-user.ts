import { CredentialRefusedError } from '../errors.ts';
import { connected, inTransaction } from './connection.ts';
import type { PostgresLogin } from './credential.ts';
import { groupOf } from './names.ts';
import { identifier, literal, lockGroup } from './roles.ts';
import { scramVerifier } from './scram.ts';

/**
 * The login gives itself the pending password. A run that was killed after it did so, and began again with a new token, left a
 * password that neither AWSCURRENT nor AWSPENDING knows: `earlier` reads the versions that may.
 *
 * A session outlives the password that it logged in with. So under a lock the password is proven once more before it is changed:
 * a run that was slow doesn't take away what a later rotation has set.
 *
 * @throws CredentialRefusedError
 */
export async function applySingleUser(
  pending: PostgresLogin,
  current: PostgresLogin,
  earlier: () => Promise<readonly PostgresLogin[]>,
): Promise<void> {
  if (await changedBy(current, pending)) return;
  // The pending one last: another run of the same rotation may have been first.
  for (const login of [...(await earlier()), pending]) {
    const ofThisLogin = { ...current, password: login.password };
    if (login.username === current.username && (await changedBy(ofThisLogin, pending))) return;
  }
  throw new CredentialRefusedError(
    'PostgreSQL refuses AWSCURRENT and every earlier version of it: set the password of the login by hand, put it as AWSCURRENT, rotate again',
  );
}

async function changedBy(login: PostgresLogin, pending: PostgresLogin): Promise<boolean> {
  try {
    await connected(login, async (connection) => {
      // A session may begin in another role, which has no power over its own login.
      await connection.query('SET ROLE NONE');
      await inTransaction(connection, async () => {
        await lockGroup(connection, groupOf(login.username));
        await connected(login, async () => undefined);
        const verifier = literal(scramVerifier(pending.password));
        await connection.query(`ALTER ROLE ${identifier(login.username)} PASSWORD ${verifier}`);
      });
    });
    return true;
  } catch (error) {
    if (error instanceof CredentialRefusedError) return false;
    throw error;
  }
}
