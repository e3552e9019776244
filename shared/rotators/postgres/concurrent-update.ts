import { TargetFailedError } from '../errors.ts';

/** What PostgreSQL says to the second of two changes of one role at the same time, once the first is committed. */
const concurrentlyUpdated = 'XX000';
const attempts = 5;

/**
 * Does `work`, a transaction, again where somebody changed the same role meanwhile. Keyturn's own runs take a lock for that, so it is
 * the role itself, and `between` may end its sessions.
 *
 * @throws TargetFailedError where somebody is faster five times, and whatever `work` and `between` throw.
 */
export async function despiteConcurrentUpdates<T>(
  work: () => Promise<T>,
  between: () => Promise<void> = async () => undefined,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const isRepeatable = error instanceof TargetFailedError && error.code === concurrentlyUpdated;
      if (!isRepeatable || attempt === attempts) throw error;
      await between();
    }
  }
}
