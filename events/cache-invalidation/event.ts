import * as z from 'zod';
import { instant, ofSecret, versionId } from '../contract.ts';

/**
 * The SNS message that tells an agent to drop what it cached of a secret. `graceEndsAt` is there only where the superseded
 * version is known to work until then; without it, the agent should refetch at once.
 */
export const cacheInvalidation = z.strictObject({
  ...ofSecret,
  versionId,
  versionCreatedAt: instant,
  movedAt: instant,
  graceEndsAt: instant.optional(),
});
export type CacheInvalidation = z.output<typeof cacheInvalidation>;
