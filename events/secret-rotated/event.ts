import * as z from 'zod';
import { busContract, instant, ofSecret, versionId } from '../contract.ts';

/** AWSCURRENT moved to a version that a rotation made. The superseded one works until graceEndsAt. */
export const secretRotated = busContract(
  'Secret Rotated',
  z.strictObject({
    ...ofSecret,
    rotationId: versionId,
    currentVersionId: versionId,
    supersededVersionId: versionId.optional(),
    rotatedAt: instant,
    graceEndsAt: instant.optional(),
  }),
);
