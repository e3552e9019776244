import * as z from 'zod';
import { adviceFor, causeOf, explained } from '../../shared/reconciliation/stuck.ts';
import type { UnstickAnswer } from './answers.ts';
import { askedSecret } from './asked-secret.ts';
import type { ReconcileParts } from './kind.ts';
import { end, incompleteRotation } from './rotation-stuck.ts';

export const unstickRequest = z.strictObject({
  action: z.literal('unstick'),
  secret: z.string().min(1).max(2_048),
  /** `explain` only reads. */
  how: z.enum(['explain', 'complete', 'abandon']),
});
export type UnstickRequest = z.output<typeof unstickRequest>;

/** One stuck rotation, for a person who asks: however young it is, since Secrets Manager's own attempts do the same steps. */
export async function unstick(
  { secret: secretId, how }: UnstickRequest,
  parts: ReconcileParts,
): Promise<UnstickAnswer> {
  const asked = await askedSecret(secretId, parts);
  const stuck = asked && (await incompleteRotation(asked.arn, parts));
  if (!stuck) return { secret: secretId, isStuck: false };
  const { secret, versionId, since } = stuck;
  const cause = await causeOf(parts.secretsManager, secret, versionId);
  const answer = {
    secret: secret.name,
    isStuck: true,
    versionId,
    since: since.toISOString(),
    cause,
    explanation: explained(cause),
    suggestion: adviceFor(cause),
  } as const;
  if (how === 'explain') return answer;
  const { outcome, more } = await end(stuck, how, parts);
  return { ...answer, outcome, more: [...more] };
}
