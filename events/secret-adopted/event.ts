import * as z from 'zod';
import { busContract, instant, ofSecret, versionId } from '../contract.ts';

/** An agent instance confirms that it uses a version. */
export const secretAdopted = busContract(
  'Secret Adopted',
  z.strictObject({
    ...ofSecret,
    agentInstanceId: z.string().min(1).max(256),
    versionId: versionId,
    adoptedAt: instant,
  }),
);
