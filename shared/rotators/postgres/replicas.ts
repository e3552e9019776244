import * as z from 'zod';
import { InvalidSecretError } from '../../credential/errors.ts';
import type { SecretJson } from '../../credential/secret-json.ts';
import { TargetUnreachableError } from '../errors.ts';
import { connected } from './connection.ts';
import type { AdminLogin } from './credential.ts';

const address = z
  .string()
  .regex(/^[^\s:]+(:\d{1,5})?$/)
  .transform((text) => {
    const [host = '', port] = text.split(':');
    return { host, port: port === undefined ? undefined : Number(port) };
  });

/**
 * The admin's login on each replica that its own secret names in `replicas`, as `host` or `host:port`. What an agent's secret names
 * isn't enough: whoever may write it could have the admin log in to a server of theirs, and pass that on to the real one.
 *
 * @throws InvalidSecretError
 */
export function replicasOf(secret: SecretJson, admin: AdminLogin): readonly AdminLogin[] {
  const named = z.array(address).optional().safeParse(secret.reveal().replicas);
  if (!named.success)
    throw new InvalidSecretError('replicas', 'a list of hosts, each with its port or without');
  return (named.data ?? []).map(({ host, port = admin.port }) => ({ ...admin, host, port }));
}

/** Twice a second: a replica that is in order is behind by less than 5 s. */
const attempts = 11;

/**
 * Ends the sessions that revoked logins have on replicas, on each once it knows that they are refused: before, they could begin
 * others. One that fails keeps none of the others waiting.
 *
 * @throws TargetUnreachableError where one doesn't answer, or still lets them in.
 */
export async function endSessionsOn(
  replicas: readonly AdminLogin[],
  logins: readonly string[],
): Promise<void> {
  const ends = await Promise.allSettled(replicas.map((replica) => endOn(replica, logins)));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed) throw failed.reason;
}

async function endOn(replica: AdminLogin, logins: readonly string[]): Promise<void> {
  await connected(replica, async (connection) => {
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const open = await connection.query('SELECT FROM pg_roles WHERE rolname = ANY($1) AND rolcanlogin', [
        logins,
      ]);
      if (open.length === 0) {
        await connection.query(
          'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY($1)',
          [logins],
        );
        return;
      }
      await connection.query('SELECT pg_sleep(0.5)');
    }
    throw new TargetUnreachableError('A replica is behind its primary: it still takes a revoked login');
  });
}
