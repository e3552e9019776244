import type { Connection } from './connection.ts';

/** How long a lock is waited for before who holds it is looked at: half of a statement's time, so that the rest suffices. */
const patienceMs = 4_000;

/** What may wait for a lock of ours, or of a role. */
const locking = /^(SELECT pg_advisory_xact_lock|ALTER|CREATE|COMMENT|GRANT|REVOKE|REASSIGN|DROP)\b/;

/**
 * Waits for an administrator's statement, and has `end` called where it waits for a lock for long. Without that, an agent could
 * prevent its own revocation, or another's: any login may take any advisory lock, and hold its own role's row by altering itself in a
 * transaction that it leaves open.
 *
 * The statement goes on waiting meanwhile, so it has the next turn, whoever comes for the lock after it. Nothing is remembered: a run
 * that is killed while it waits, or after it ended somebody, leaves less in the way of the next one, which begins in the same way.
 */
export async function outlasting<T>(
  sql: string,
  statement: Promise<T>,
  end: () => Promise<void>,
): Promise<T> {
  if (!locking.test(sql)) return statement;
  let ending: Promise<void> | undefined;
  const patience = AbortSignal.timeout(patienceMs);
  const onImpatient = () => {
    // What becomes of the statement tells whether it helped.
    ending = end().catch(() => undefined);
  };
  patience.addEventListener('abort', onImpatient);
  try {
    return await statement;
  } finally {
    patience.removeEventListener('abort', onImpatient);
    await ending;
  }
}

/**
 * Ends the sessions that keep a session of ours waiting for an advisory lock, or that have altered roles in a transaction that they
 * leave open: those before it in the queue too, and those that they in turn wait for, since whoever waits for a row is kept waiting by
 * the next one in its queue, not by the holder. A behaving agent has no such session.
 *
 * What is left: the admin's own sessions, among which the lock is for; those of other logins that may alter roles; and who merely
 * holds something else, such as a table that a privilege is granted on.
 *
 * @throws TargetFailedError with 42501 where the admin isn't a member of `pg_signal_backend`.
 */
export async function endBlockers(connection: Connection, waitingProcessId: number): Promise<void> {
  await connection.query(
    `WITH RECURSIVE ahead(pid) AS (
         SELECT unnest(pg_blocking_pids($1::int)) UNION SELECT unnest(pg_blocking_pids(pid)) FROM ahead)
       SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
       WHERE a.usename <> session_user AND NOT r.rolsuper AND NOT r.rolcreaterole
         AND (a.pid = ANY(pg_blocking_pids($1))
             AND EXISTS (SELECT FROM pg_locks w WHERE w.pid = $1 AND NOT w.granted AND w.locktype = 'advisory')
           OR a.pid IN (SELECT pid FROM ahead)
             AND EXISTS (SELECT FROM pg_locks h WHERE h.pid = a.pid
               AND h.locktype = 'relation' AND h.database = 0 AND h.mode = 'RowExclusiveLock'))`,
    [waitingProcessId],
  );
}
