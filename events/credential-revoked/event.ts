import * as z from 'zod';
import { busContract, instant, ofSecret, versionId } from '../contract.ts';

/** The target no longer takes the superseded credential. */
export const credentialRevoked = busContract(
  'Credential Revoked',
  z.strictObject({
    ...ofSecret,
    rotationId: versionId,
    revokedVersionId: versionId,
    currentVersionId: versionId,
    graceEndsAt: instant,
    revokedAt: instant,
  }),
);
