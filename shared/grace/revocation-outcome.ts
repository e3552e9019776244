import * as z from 'zod';

/** What became of a superseded version: `revoked`, or why nothing was. revoke-superseded answers with it. */
export const revocationOutcome = z.enum(['revoked', 'not managed', 'not superseded', 'pruned', 'in use']);
export type RevocationOutcome = z.output<typeof revocationOutcome>;
