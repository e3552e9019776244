import { hostname } from 'node:os';
import { isMainThread, threadId } from 'node:worker_threads';

/** How many agents of an id this thread has made. */
const made = new Map<string, number>();

/**
 * Another one for each agent of the process. Its first keeps its own when it starts again, so that what it adopted isn't told of
 * as another instance's; but containers that share host name and process id have it in common.
 */
export function ownInstanceId(agentId: string): string {
  const number = (made.get(agentId) ?? 0) + 1;
  made.set(agentId, number);
  const thread = isMainThread ? [] : [`t${threadId}`];
  return [hostname(), process.pid, ...thread, ...(number > 1 ? [number] : [])].join('-');
}
