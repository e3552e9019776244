import { parsed } from '../../events/contract.ts';
import { secretAdopted } from '../../events/secret-adopted/event.ts';
import type { Adoptions } from '../../shared/state/adoptions.ts';

/**
 * Keeps which version an agent instance uses, for `keyturn status`. The record converges under events that repeat or
 * overtake; see `adoptionsIn`. An instance whose clock is ahead is dated by the bus: else what it says next would look older,
 * and the record would stay as it is.
 */
export async function recordAdoption(input: unknown, { keep }: Adoptions): Promise<void> {
  const { detail, time } = parsed('Secret Adopted', secretAdopted.schema, input);
  const { secretArn, agentInstanceId, versionId, adoptedAt } = detail;
  // The bus tells whole seconds.
  const latest = Date.parse(time) + 999;
  await keep({
    secretArn,
    agentInstanceId,
    versionId,
    adoptedAt: new Date(Math.min(Date.parse(adoptedAt), latest)).toISOString(),
  });
}
