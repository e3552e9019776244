import { createHash } from 'node:crypto';

/** What an agent's events bear as their source. Its IAM policy allows it this one and no other's. */
export const agentSource = (agentId: string): string => `keyturn.agent.${agentId}`;

/** Digits after the last `-` of a queue's name. */
export const queueDigits = 20;

/**
 * What the names of an agent's queues begin with; `queueDigits` characters follow. Its IAM policy allows it queues of such names,
 * so no other agent's may begin so: what doesn't fit as it stands is told apart by a digest, after a `_`, which no declared id has.
 */
export function agentQueuePrefix(agentId: string): string {
  if (/^[a-z0-9-]{1,40}$/.test(agentId)) return `keyturn-agent-${agentId}-`;
  const digest = createHash('sha256').update(agentId).digest('hex').slice(0, 12);
  return `keyturn-agent-${agentId.replaceAll(/[^\w-]/g, '-').slice(0, 27)}_${digest}-`;
}
