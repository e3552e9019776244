import * as z from 'zod';
import { findingOutcome } from '../../shared/reconciliation/finding.ts';
import { busContract, instant, ofSecret } from '../contract.ts';

/** The reconciler found something amiss with a secret that was well at its last look, and says what became of it. */
export const findingOpened = busContract(
  'Finding Opened',
  z.strictObject({
    ...ofSecret,
    /** `docs/runbook/{kind}.md` is its page. */
    kind: z.string().regex(/^[a-z-]{1,64}$/, 'expected a kind of finding'),
    outcome: findingOutcome,
    foundAt: instant,
  }),
);
