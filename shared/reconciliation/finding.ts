import * as z from 'zod';

/** `repaired`: it is so no more. `waiting`: by itself it will end, and it is looked at again. */
export const findingOutcome = z.enum(['repaired', 'waiting', 'needs a person']);

/** What a reconciler found amiss with one secret. Identifiers and words of ours only. */
export interface Finding {
  /** A runbook page `docs/runbook/{kind}.md` says what it means and which command mends it. */
  readonly kind: string;
  readonly secret: string;
  readonly secretArn: string;
  readonly agentId: string;
  /** Why, for whoever is woken by it: no value of a secret, no message of a library. */
  readonly explanation: string;
  readonly outcome: z.output<typeof findingOutcome>;
}
