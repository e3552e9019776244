import * as z from 'zod';
import { agentId, busContract, instant, ofSecret, versionId } from '../contract.ts';

/** An agent instance confirms that it uses a version. */
export const secretAdopted = busContract(
  'Secret Adopted',
  z.strictObject({
    ...ofSecret,
    agentInstanceId: agentId,
    versionId: versionId,
    adoptedAt: instant,
  }),
);
