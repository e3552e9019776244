import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { OpenBao } from '../../../local/openbao/server.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { CasMismatchError } from '../../../shared/vault/errors.ts';
import { syncMirror } from '../../../shared/vault/mirror.ts';
import { unwatched, type Watch } from '../../integration/reconciliation/fleet.ts';
import { counted, mirrorsIn, vaultForMirrors } from '../../integration/reconciliation/mirror-setting.ts';
import { clientOf } from '../../integration/rotation/in-process.ts';
import { matrixOf, type Trial } from './matrix.ts';

let bao: OpenBao;
let vault: Vault;
beforeAll(async () => {
  ({ bao, vault } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

const recoveries = ['the same delivery', 'a concurrent duplicate', 'the reconciler alone'] as const;
let count = 0;

/** A mirror that is behind by a version. */
async function mirror(recovery: (typeof recoveries)[number]): Promise<Trial> {
  count += 1;
  const mirrors = mirrorsIn(vault);
  const name = `agents/struck-${count}/credentials`;
  const arn = await mirrors.secret(name);
  await mirrors.sync(arn);
  await mirrors.put(arn, 'second');
  const deliver = ({ before, after }: Watch) =>
    syncMirror(arn, {
      ...mirrors.parts,
      secretsManager: clientOf(mirrors.engine, before, () => after('Secrets Manager')),
      vault: counted(
        vault,
        [],
        () => before('Vault'),
        () => after('Vault'),
      ),
    });
  return {
    async strike(run) {
      const struck = run.within(() => deliver(run));
      if (recovery === 'a concurrent duplicate') await atOnce(struck.catch(lostCheck), deliver(unwatched));
      await struck.catch(lostCheck);
    },
    async recover() {
      if (recovery === 'the reconciler alone') return mirrors.hour();
      if (recovery === 'the same delivery') return deliver(unwatched);
      await atOnce(deliver(unwatched), deliver(unwatched));
      return deliver(unwatched);
    },
    async expectWell() {
      expect((await vault.readData(name))?.data).toEqual({ username: 'u', password: 'second' });
      await mirrors.hour();
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
  for (const recovery of recoveries) {
    const mayMiss = recovery === 'a concurrent duplicate';
    cases({ what: `ended by ${recovery}`, least: 4, mayMiss, arrange: () => mirror(recovery) });
  }
});
