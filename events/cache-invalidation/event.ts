import * as z from 'zod';
import { instant, ofSecret, versionId } from '../contract.ts';

/**
 * The SNS message that tells an agent to drop what it cached of a secret. Keyturn's own agent reads it again at once. Other consumers
 * may take their time until `graceEndsAt`, which is there only where the superseded version is known to work until then.
 */
export const cacheInvalidation = z.strictObject({
  ...ofSecret,
  versionId,
  versionCreatedAt: instant,
  movedAt: instant,
  graceEndsAt: instant.optional(),
});
export type CacheInvalidation = z.output<typeof cacheInvalidation>;
