import * as z from 'zod';
import { findingOutcome } from '../../shared/reconciliation/finding.ts';
import { busContract, instant, ofSecret, versionId } from '../contract.ts';

/** A secret's mirror in Vault differs from it where it did not at the last look, and what became of that. */
export const mirrorDriftDetected = busContract(
  'Mirror Drift Detected',
  z.strictObject({
    ...ofSecret,
    /** `docs/runbook/{kind}.md` is its page. */
    kind: z.string().regex(/^mirror-[a-z-]{1,57}$/, 'expected a kind of finding of mirrors'),
    /** In the KV mount. */
    path: z.string().min(1).max(512),
    /** The version that the mirror said it held, and AWSCURRENT's. */
    stampedVersionId: versionId.optional(),
    currentVersionId: versionId.optional(),
    outcome: findingOutcome,
    foundAt: instant,
  }),
);
