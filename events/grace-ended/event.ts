import * as z from 'zod';
import { instant, secretArn, versionId } from '../contract.ts';

/** What the one-time schedule at the end of a grace period hands to revoke-superseded. */
export const graceEnded = z.strictObject({
  secretArn,
  supersededVersionId: versionId,
  currentVersionId: versionId,
  rotationId: versionId,
  graceEndsAt: instant,
});
export type GraceEnded = z.output<typeof graceEnded>;
