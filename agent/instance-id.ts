import { hostname } from 'node:os';
import { isMainThread, threadId } from 'node:worker_threads';

/** How many agents of an id this thread has made. */
const made = new Map<string, number>();

/**
 * Host name and process id; the second agent of a process, and those after it, get a number as well. So the first agent of a
 * container that starts again has the id it had, and its adoptions aren't counted as another instance's. Containers that share
 * host name and process id share it.
 */
export function ownInstanceId(agentId: string): string {
  const number = (made.get(agentId) ?? 0) + 1;
  made.set(agentId, number);
  const thread = isMainThread ? [] : [`t${threadId}`];
  return [hostname(), process.pid, ...thread, ...(number > 1 ? [number] : [])].join('-');
}
