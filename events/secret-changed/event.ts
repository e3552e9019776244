import * as z from 'zod';
import { busContract, instant, ofSecret, versionId } from '../contract.ts';

/** AWSCURRENT moved by hand or in a rollback: no rotation made the version, so nothing is revoked for it. */
export const secretChanged = busContract(
  'Secret Changed',
  z.strictObject({
    ...ofSecret,
    currentVersionId: versionId,
    supersededVersionId: versionId.optional(),
    changedAt: instant,
  }),
);
