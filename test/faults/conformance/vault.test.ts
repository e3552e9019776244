// The simulation's Vault must answer as OpenBao does, in everything that mirrors rely on.
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { until } from '../../../local/until.ts';
import { connectVault, type Vault } from '../../../shared/vault/client.ts';
import { CasMismatchError, VaultSealedError } from '../../../shared/vault/errors.ts';
import { Faults } from '../simulation/faults.ts';
import { Troubles } from '../simulation/troubles.ts';
import { distantVault, VaultModel } from '../simulation/vault-model.ts';
import { VirtualTime } from '../simulation/virtual-time.ts';

const parts = new AsyncDisposableStack();
afterAll(() => parts.disposeAsync());

interface Subject {
  readonly vault: Vault;
  seal(): Promise<void>;
  unseal(): Promise<void>;
}

async function model(): Promise<Subject> {
  let sealed = false;
  const time = new VirtualTime(0);
  const faults = new Faults({ kinds: [], without: [] });
  const world = { time, faults, troubles: new Troubles(time.now) };
  return {
    vault: distantVault(world, new VaultModel(), () => sealed),
    async seal() {
      sealed = true;
    },
    async unseal() {
      sealed = false;
    },
  };
}

async function real(): Promise<Subject> {
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-conformance-')), 'bao.log');
  const bao = parts.use(await startOpenBao({ port: await freePort({ next: true }), logFile }));
  const vault = connectVault({ address: bao.url, mount: 'secret', login: { token: bao.rootToken } });
  return {
    vault,
    seal: bao.seal,
    async unseal() {
      await bao.unseal(/Unseal Key: (\S+)/.exec(readFileSync(logFile, 'utf8'))?.[1] ?? '');
      await until('OpenBao answers again', () => vault.lookupToken());
    },
  };
}

describe.each([
  ['the model', model],
  ['OpenBao', real],
])('Vault: %s', (_, start) => {
  let subject: Subject;
  let vault: Vault;
  let keys = 0;
  const newKey = () => {
    keys += 1;
    return `agents/agent-${keys}/credentials`;
  };
  beforeAll(async () => {
    subject = await start();
    vault = subject.vault;
  });

  test('a key that was never written is not there', async () => {
    const key = newKey();
    expect(await vault.readData(key)).toBeUndefined();
    expect(await vault.readMetadata(key)).toBeUndefined();
    expect(await vault.readKey(key)).toBeUndefined();
    expect(await vault.list(key)).toEqual([]);
    await vault.remove(key);
  });

  test('each write counts a version, and the newest is read', async () => {
    const key = newKey();
    expect(await vault.writeData(key, { password: 'a' }, 0)).toBe(1);
    expect(await vault.writeData(key, { password: 'b', user: 'u' }, 1)).toBe(2);
    expect(await vault.readData(key)).toEqual({ data: { password: 'b', user: 'u' }, version: 2 });
    expect(await vault.readMetadata(key)).toEqual({ currentVersion: 2, custom: {} });
  });

  test.each([
    ['none is there', 0, 1],
    ['it is older', 2, 1],
    ['it is newer', 2, 3],
    ['one is there already', 1, 0],
  ])("a write whose version is not the key's is refused: %s", async (_what, writes, cas) => {
    const key = newKey();
    for (let version = 0; version < writes; version += 1) await vault.writeData(key, { version }, version);
    await expect(vault.writeData(key, { version: 'mine' }, cas)).rejects.toThrow(CasMismatchError);
    expect((await vault.readMetadata(key))?.currentVersion).toBe(writes === 0 ? undefined : writes);
  });

  test('of two writes that saw the same version one wins', async () => {
    const key = newKey();
    const both = await Promise.allSettled([
      vault.writeData(key, { by: 'one' }, 0),
      vault.writeData(key, { by: 'two' }, 0),
    ]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect((await vault.readData(key))?.version).toBe(1);
  });

  test('custom metadata is replaced as a whole, and a write of data keeps it', async () => {
    const key = newKey();
    await vault.writeCustomMetadata(key, { stamp: '1', owner: 'keyturn' });
    expect(await vault.readKey(key)).toEqual({ currentVersion: 0, custom: { stamp: '1', owner: 'keyturn' } });
    expect(await vault.readData(key)).toBeUndefined();
    expect(await vault.writeData(key, { password: 'a' }, 0)).toBe(1);
    await vault.writeCustomMetadata(key, { stamp: '2' });
    expect(await vault.readKey(key)).toEqual({
      currentVersion: 1,
      custom: { stamp: '2' },
      data: { password: 'a' },
    });
  });

  test('a key that was removed begins anew, without its metadata', async () => {
    const key = newKey();
    await vault.writeData(key, { password: 'a' }, 0);
    await vault.writeCustomMetadata(key, { stamp: '1' });
    await vault.remove(key);
    expect(await vault.readKey(key)).toBeUndefined();
    expect(await vault.writeData(key, { password: 'b' }, 0)).toBe(1);
    expect(await vault.readMetadata(key)).toEqual({ currentVersion: 1, custom: {} });
  });

  test('a folder lists its keys, and its folders with a slash, in order', async () => {
    for (const key of ['fleet/b/credentials', 'fleet/a', 'fleet/c/x/y', 'fleet/b/other'])
      await vault.writeData(key, { key }, 0);
    expect(await vault.list('fleet')).toEqual(['a', 'b/', 'c/']);
    expect(await vault.list('fleet/')).toEqual(['a', 'b/', 'c/']);
    expect(await vault.list('fleet/b')).toEqual(['credentials', 'other']);
    expect(await vault.list('elsewhere')).toEqual([]);
  });

  test('what was read is a copy', async () => {
    const key = newKey();
    await vault.writeData(key, { password: 'a' }, 0);
    const read = await vault.readData(key);
    if (read) read.data.password = 'changed';
    expect((await vault.readData(key))?.data).toEqual({ password: 'a' });
  });

  test('while it is sealed it tells so and changes nothing', async () => {
    const key = newKey();
    await vault.writeData(key, { password: 'a' }, 0);
    await subject.seal();
    const refused = await Promise.allSettled([
      vault.readData(key),
      vault.writeData(key, { password: 'b' }, 1),
      vault.readMetadata(key),
      vault.writeCustomMetadata(key, { stamp: '1' }),
      vault.readKey(key),
      vault.list('agents'),
      vault.remove(key),
    ]);
    await subject.unseal();
    for (const one of refused) expect(one).toMatchObject({ reason: expect.any(VaultSealedError) });
    expect(await vault.readKey(key)).toEqual({ currentVersion: 1, custom: {}, data: { password: 'a' } });
  });
});
