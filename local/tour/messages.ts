import * as z from 'zod';

/** What an agent's process tells the tour. Times are of this machine, in milliseconds. */
export const agentMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready') }),
  /** The first query with a login that it had not used before. */
  z.object({ kind: z.literal('login'), login: z.string(), at: z.number() }),
  z.object({ kind: z.literal('failed'), reason: z.string(), at: z.number() }),
  z.object({ kind: z.literal('count'), total: z.number().int(), failed: z.number().int() }),
]);
export type AgentMessage = z.output<typeof agentMessage>;
