import * as z from 'zod';
import { busContract, instant, ofSecret, versionId } from '../contract.ts';

/** A step of a rotation failed; AWSCURRENT is untouched. The class of the error only: a message might quote the target. */
export const rotationFailed = busContract(
  'Rotation Failed',
  z.strictObject({
    ...ofSecret,
    rotationId: versionId,
    step: z.enum(['createSecret', 'setSecret', 'testSecret', 'finishSecret']),
    errorClass: z.string().regex(/^[A-Za-z][A-Za-z0-9]{0,127}$/, 'expected the class of an error'),
    failedAt: instant,
  }),
);
