import type * as z from 'zod';
import { awsRotationFailed } from './aws-rotation-failed/event.ts';
import { cacheInvalidation } from './cache-invalidation/event.ts';
import { credentialRevoked } from './credential-revoked/event.ts';
import { findingOpened } from './finding-opened/event.ts';
import { graceEnded } from './grace-ended/event.ts';
import { mirrorDriftDetected } from './mirror-drift-detected/event.ts';
import { rotationFailed } from './rotation-failed/event.ts';
import { rotationStarted } from './rotation-started/event.ts';
import { secretAdopted } from './secret-adopted/event.ts';
import { secretChanged } from './secret-changed/event.ts';
import { secretLabelUpdated } from './secret-label-updated/event.ts';
import { secretRotated } from './secret-rotated/event.ts';

/** Each event's schema, by the name of its folder. */
export const contracts: Readonly<Record<string, z.ZodType>> = {
  'aws-rotation-failed': awsRotationFailed,
  'cache-invalidation': cacheInvalidation,
  'credential-revoked': credentialRevoked.schema,
  'finding-opened': findingOpened.schema,
  'grace-ended': graceEnded,
  'mirror-drift-detected': mirrorDriftDetected.schema,
  'rotation-failed': rotationFailed.schema,
  'rotation-started': rotationStarted.schema,
  'secret-adopted': secretAdopted.schema,
  'secret-changed': secretChanged.schema,
  'secret-label-updated': secretLabelUpdated,
  'secret-rotated': secretRotated.schema,
};
