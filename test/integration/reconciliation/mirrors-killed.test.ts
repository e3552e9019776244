import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OpenBao } from '../../../local/openbao/server.ts';
import { reconcileMirrors } from '../../../shared/reconciliation/mirrors/reconcile-mirrors.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { type MirrorParts, syncMirror } from '../../../shared/vault/mirror.ts';
import { clientOf } from '../rotation/in-process.ts';
import { counted, type Mirrors, mirrorsIn, vaultForMirrors } from './mirror-setting.ts';

let bao: OpenBao;
let vault: Vault;
beforeAll(async () => {
  ({ bao, vault } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

class KilledError extends Error {
  override readonly name = 'KilledError';
}

/** The parts of a process that dies at its nth call: `before` it is made, or when it is done and before it is answered. */
function dyingAt(
  nth: number,
  when: 'before' | 'after',
  mirrors: Mirrors,
): MirrorParts & { made: () => number } {
  let made = 0;
  let isDead = false;
  const dies = () => {
    if (isDead) throw new KilledError('killed');
  };
  const begin = () => {
    dies();
    made += 1;
    if (made === nth && when === 'before') isDead = true;
    dies();
  };
  const end = () => {
    if (made === nth && when === 'after') isDead = true;
    dies();
  };
  return {
    ...mirrors.parts,
    secretsManager: clientOf(mirrors.engine, begin, end),
    vault: counted(vault, [], begin, end),
    made: () => made,
  };
}

/** One mirror of each kind of drift that is healed. Gives the paths that are to hold their secrets in the end. */
async function drifted(mirrors: Mirrors, agent: string): Promise<readonly string[]> {
  const secret = (name: string, tags = {}) => mirrors.secret(`agents/${agent}/${name}`, tags);
  await secret('missing');
  const behind = await secret('behind');
  const changed = await secret('changed');
  const gone = await secret('gone');
  const moved = await secret('moved', { 'keyturn:mirror': `agents/${agent}/old-place` });
  for (const arn of [behind, changed, gone, moved]) await mirrors.sync(arn);
  await mirrors.put(behind, 'second');
  await bao.request('POST', `secret/data/agents/${agent}/changed`, { data: { by: 'hand' } });
  await mirrors.engine.DeleteSecret({ SecretId: gone, ForceDeleteWithoutRecovery: true });
  await mirrors.engine.TagResource({
    SecretId: moved,
    Tags: [{ Key: 'keyturn:mirror', Value: `agents/${agent}/moved` }],
  });
  return ['missing', 'behind', 'changed', 'moved'].map((name) => `agents/${agent}/${name}`);
}

const run = (mirrors: Mirrors, parts: MirrorParts) =>
  reconcileMirrors(parts, {
    heals: true,
    ownArns: mirrors.ownArns,
    now: () => mirrors.clock.now,
    isLate: () => false,
    onFailure: () => undefined,
  });

async function expectHealed(mirrors: Mirrors, agent: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const password = path.endsWith('/behind') ? 'second' : 'first';
    expect((await vault.readData(path))?.data).toEqual({ username: 'u', password });
  }
  expect(await vault.list(`agents/${agent}/`)).toEqual(['behind', 'changed', 'missing', 'moved']);
  mirrors.calls.length = 0;
  expect((await run(mirrors, mirrors.parts)).findings).toEqual([]);
  expect(mirrors.calls.filter((call) => /vault:(write|remove)/.test(call))).toEqual([]);
}

describe('a run that dies', () => {
  it.each(['before', 'after'] as const)('%s any of its calls is made good by the next', async (when) => {
    let deaths = 0;
    for (let nth = 1; ; nth += 1) {
      const mirrors = mirrorsIn(vault);
      const agent = `${when}-${nth}`;
      const paths = await drifted(mirrors, agent);
      const parts = dyingAt(nth, when, mirrors);
      await run(mirrors, parts).catch(() => undefined);
      if (parts.made() < nth) break;
      deaths += 1;
      await run(mirrors, mirrors.parts);
      // A moved mirror goes once the new one stands, which may be a run later.
      await run(mirrors, mirrors.parts);
      await expectHealed(mirrors, agent, paths);
      for (const name of await vault.list(`agents/${agent}/`)) await vault.remove(`agents/${agent}/${name}`);
    }
    expect(deaths).toBeGreaterThan(25);
  });
});

describe('beside sync-vault-mirror', () => {
  it('a mirror ends at AWSCURRENT, whoever writes first', async () => {
    const mirrors = mirrorsIn(vault);
    const arns = await Promise.all(
      Array.from({ length: 20 }, (_, index) => mirrors.secret(`agents/beside/s${index}`)),
    );
    await Promise.allSettled(
      arns.flatMap((arn) => [syncMirror(arn, mirrors.parts), run(mirrors, mirrors.parts)]),
    );
    for (const arn of arns) await mirrors.put(arn, 'second');
    await Promise.allSettled([
      ...arns.map((arn) => syncMirror(arn, mirrors.parts)),
      run(mirrors, mirrors.parts),
      run(mirrors, mirrors.parts),
      ...arns.map((arn) => syncMirror(arn, mirrors.parts)),
    ]);
    await run(mirrors, mirrors.parts);
    for (const [index] of arns.entries()) {
      expect((await vault.readData(`agents/beside/s${index}`))?.data).toEqual({
        username: 'u',
        password: 'second',
      });
    }
    expect((await run(mirrors, mirrors.parts)).findings).toEqual([]);
  });
});
