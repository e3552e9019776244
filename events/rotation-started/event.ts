import * as z from 'zod';
import { busContract, instant, ofSecret, versionId } from '../contract.ts';

/** A rotation took its first step. */
export const rotationStarted = busContract(
  'Rotation Started',
  z.strictObject({
    ...ofSecret,
    rotationId: versionId,
    startedAt: instant,
  }),
);
