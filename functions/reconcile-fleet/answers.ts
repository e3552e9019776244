import * as z from 'zod';
import { findingOutcome } from '../../shared/reconciliation/finding.ts';

/** What a look at the fleet comes to. */
export const fleetReport = z.object({
  /** How many secrets were looked at. */
  secrets: z.number(),
  findings: z.array(
    z.object({
      kind: z.string(),
      secret: z.string(),
      secretArn: z.string(),
      agentId: z.string(),
      explanation: z.string(),
      outcome: findingOutcome,
    }),
  ),
  /** Names of secrets that couldn't be looked at closely. */
  unexamined: z.array(z.string()),
  /** Kinds of findings that no secret could be looked at for. */
  unexaminedKinds: z.array(z.string()),
  /** False where time ran out: another run is to go on. It begins anew, and finds what is left. */
  isFinished: z.boolean(),
});
export type FleetReport = z.output<typeof fleetReport>;

/** What one rotation is stuck at, and what became of it where it was to be ended. */
export const unstickAnswer = z.object({
  secret: z.string(),
  isStuck: z.boolean(),
  versionId: z.string().exactOptional(),
  since: z.string().exactOptional(),
  cause: z.string().exactOptional(),
  explanation: z.string().exactOptional(),
  /** What the cause asks for. */
  suggestion: z.enum(['complete', 'abandon']).exactOptional(),
  outcome: findingOutcome.exactOptional(),
  more: z.array(z.string()).exactOptional(),
});
export type UnstickAnswer = z.output<typeof unstickAnswer>;
