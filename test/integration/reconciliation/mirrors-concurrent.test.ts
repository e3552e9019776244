import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OpenBao } from '../../../local/openbao/server.ts';
import { reconcileMirrors } from '../../../shared/reconciliation/mirrors/reconcile-mirrors.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import type { MirrorParts } from '../../../shared/vault/examine-mirror.ts';
import { syncMirror } from '../../../shared/vault/mirror.ts';
import { type Mirrors, mirrorsIn, vaultForMirrors } from './mirror-setting.ts';

let bao: OpenBao;
let vault: Vault;
beforeAll(async () => {
  ({ bao, vault } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

const run = (mirrors: Mirrors, parts: MirrorParts) =>
  reconcileMirrors(parts, {
    heals: true,
    ownArns: mirrors.ownArns,
    now: () => mirrors.clock.now,
    isLate: () => false,
    pause: async () => undefined,
    onFailure: () => undefined,
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
