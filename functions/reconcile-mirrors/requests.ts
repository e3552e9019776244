import * as z from 'zod';
import { findingOutcome } from '../../shared/reconciliation/finding.ts';
import { mirrorKinds } from '../../shared/reconciliation/mirrors/mirror-finding.ts';

/** What the schedule and `keyturn drift` ask for. */
export const mirrorsRequest = z.discriminatedUnion('action', [
  z.strictObject({
    action: z.literal('reconcile'),
    /** Only look: nothing is written, and nobody is told. */
    dryRun: z.boolean().default(false),
  }),
  /** Brings a quarantined mirror to AWSCURRENT, over what somebody wrote there. */
  z.strictObject({ action: z.literal('release'), secret: z.string().min(1).max(2_048) }),
]);

export const mirrorsReport = z.object({
  /** How many secrets are to be mirrored, and of how many something can be said. */
  mirrored: z.number(),
  checked: z.number(),
  /** False where Vault was out of reach, time ran out, or a mirror could not be looked at. */
  isFinished: z.boolean(),
  /** Vault was out of reach. */
  isVaultDown: z.boolean(),
  /** Those in step, as far as they fit into an answer. */
  inStep: z.array(z.object({ secret: z.string(), agentId: z.string(), path: z.string() })),
  findings: z.array(
    z.object({
      kind: z.enum(mirrorKinds),
      secret: z.string(),
      agentId: z.string(),
      path: z.string(),
      explanation: z.string(),
      outcome: findingOutcome,
    }),
  ),
});
export type MirrorsReport = z.output<typeof mirrorsReport>;

export const releaseAnswer = z.object({
  secret: z.string(),
  outcome: z.enum(['not-mirrored', 'deletion-pending', 'unchanged', 'stamped', 'written']),
});
