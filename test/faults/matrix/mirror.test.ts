import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { OpenBao } from '../../../local/openbao/server.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { CasMismatchError } from '../../../shared/vault/errors.ts';
import { syncMirror } from '../../../shared/vault/mirror.ts';
import { secretsManagerOf, unwatched, type Watch } from '../../integration/reconciliation/fleet.ts';
import { counted, mirrorsIn, vaultForMirrors } from '../../integration/reconciliation/mirror-setting.ts';
import { matrixOf, type Trial } from './matrix.ts';

let bao: OpenBao;
let vault: Vault;
beforeAll(async () => {
  ({ bao, vault } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

const recoveries = ['the same delivery', 'a concurrent duplicate', 'the reconciler alone'] as const;
let count = 0;

/** A mirror that is not there yet, or is behind by a version. */
async function mirror(
  write: 'its first write' | 'an update',
  recovery: (typeof recoveries)[number],
): Promise<Trial> {
  count += 1;
  const mirrors = mirrorsIn(vault);
  const name = `agents/struck-${count}/credentials`;
  const arn = await mirrors.secret(name);
  if (write === 'an update') {
    await mirrors.sync(arn);
    await mirrors.put(arn, 'second');
  }
  const deliver = (watch: Watch) =>
    syncMirror(arn, {
      ...mirrors.parts,
      secretsManager: secretsManagerOf(mirrors.engine, watch),
      vault: counted(vault, [], watch),
    });
  return {
    async strike(run) {
      const struck = run.within(() => deliver(run));
      if (recovery === 'a concurrent duplicate') await atOnce(struck.catch(lostCheck), deliver(unwatched));
      await struck.catch(lostCheck);
    },
    async recover(hasFailed) {
      if (recovery === 'the reconciler alone') return mirrors.hour();
      if (recovery === 'the same delivery') return hasFailed && deliver(unwatched);
      await atOnce(deliver(unwatched), deliver(unwatched));
      return deliver(unwatched);
    },
    async expectWell() {
      const password = write === 'an update' ? 'second' : 'first';
      expect((await vault.readData(name))?.data).toEqual({ username: 'u', password });
      // What the next run finds amiss, it mends; there is nothing left for the one after it.
      await mirrors.hour();
      await mirrors.hour();
      expect(await mirrors.ask({ action: 'reconcile', dryRun: true })).toMatchObject({ findings: [] });
      // The others look at all that is in Vault.
      await vault.remove(name);
      expect(mirrors.alerts.filter(({ state }) => state === 'found').length).toBeLessThanOrEqual(1);
    },
  };
}

/** Of two at once, whoever writes second loses the check-and-set: its message comes again, when the other is done. */
async function atOnce(...deliveries: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(deliveries)) {
    if (outcome.status === 'rejected') lostCheck(outcome.reason);
  }
}

function lostCheck(error: unknown): void {
  if (!(error instanceof CasMismatchError)) throw error;
}

describe('a mirror that is struck at any outside call ends at AWSCURRENT', () => {
  const cases = matrixOf('sync-vault-mirror');
  for (const write of ['its first write', 'an update'] as const) {
    for (const recovery of recoveries) {
      const mayMiss = recovery === 'a concurrent duplicate';
      const what = `${write}: ended by ${recovery}`;
      cases({ what, least: 4, mayMiss, arrange: () => mirror(write, recovery) });
    }
  }
});
