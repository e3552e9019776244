import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createAgentVault,
  SecretCache,
  SecretNotFoundError,
  type SecretSource,
  SecretUnavailableError,
  SecretValue,
  SourceUnreachableError,
  secretsManagerSource,
  tokenFileLogin,
} from '../../../agent/index.ts';
import { startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { clientOf } from '../rotation/in-process.ts';

/** A source, and what its owner can do to it. */
interface Store extends AsyncDisposable {
  readonly source: SecretSource;
  put(id: string, value: object): Promise<void>;
  remove(id: string): Promise<void>;
  breakDown(): Promise<void>;
}

async function secretsManager(): Promise<Store> {
  const engine = createEngine({ attempts: 1, invoke: async () => undefined });
  let broken = false;
  const client = clientOf(engine, () => {
    if (broken) throw new Error('connection refused');
  });
  const known = new Set<string>();
  return {
    source: secretsManagerSource(client),
    async put(id, value) {
      const SecretString = JSON.stringify(value);
      if (known.has(id)) await engine.PutSecretValue({ SecretId: id, SecretString });
      else await engine.CreateSecret({ Name: id, SecretString });
      known.add(id);
    },
    remove: async (id) => void (await engine.DeleteSecret({ SecretId: id })),
    breakDown: async () => {
      broken = true;
    },
    [Symbol.asyncDispose]: async () => client.destroy(),
  };
}

async function vault(): Promise<Store> {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
  const bao = await startOpenBao({ port: await freePort(), logFile: join(folder, 'bao.log') });
  const file = join(folder, 'token');
  writeFileSync(file, bao.rootToken);
  const client = createAgentVault({ address: bao.url, login: tokenFileLogin(file) });
  return {
    source: client.source(),
    put: async (id, data) => void (await bao.request('POST', `secret/data/${id}`, { data })),
    remove: async (id) => void (await bao.request('DELETE', `secret/data/${id}`)),
    breakDown: () => bao.seal(),
    async [Symbol.asyncDispose]() {
      await client.close();
      await bao[Symbol.asyncDispose]();
    },
  };
}

/** What every source of secrets holds to, so that one cache serves them all. The last test breaks it. */
describe.each([
  ['Secrets Manager', secretsManager],
  ['Vault KV v2', vault],
])('%s as a source', (_, start) => {
  let store: Store;
  beforeAll(async () => {
    store = await start();
  });
  afterAll(async () => store?.[Symbol.asyncDispose]());

  test('gives the version in force, its strings wrapped, and shows none', async () => {
    await store.put('agents/a/one', {
      username: 'a',
      password: 'canary-3f9d',
      nested: { list: ['canary-x'] },
    });
    const version = await store.source.fetch('agents/a/one');
    expect(version.stages).toEqual(['AWSCURRENT']);
    expect(version.createdAt).toBeLessThanOrEqual(Date.now() + 2_000);
    expect(version.fields.username).toBe('a');
    expect(version.fields.password instanceof SecretValue && version.fields.password.reveal()).toBe(
      'canary-3f9d',
    );
    expect(inspect(version, { depth: 9, showHidden: true }) + JSON.stringify(version)).not.toContain(
      'canary',
    );
    expect(Object.isFrozen(version) && Object.isFrozen(version.fields)).toBe(true);
  });

  test('gives each value a version of its own, later ones never made earlier', async () => {
    await store.put('agents/a/two', { n: 1 });
    const first = await store.source.fetch('agents/a/two');
    await store.put('agents/a/two', { n: 2 });
    const second = await store.source.fetch('agents/a/two');
    expect(second.versionId).not.toBe(first.versionId);
    expect(second.createdAt).toBeGreaterThanOrEqual(first.createdAt);
    const { versionId } = first;
    const again = await store.source.fetch('agents/a/two', { versionId });
    expect(again).toMatchObject({ versionId, fields: { n: 1 } });
    expect(again.stages).not.toContain('AWSCURRENT');
  });

  test('says of what is not there, or no more, that it is not found', async () => {
    await expect(store.source.fetch('agents/a/nothing')).rejects.toThrow(SecretNotFoundError);
    await store.put('agents/a/gone', { n: 1 });
    await expect(store.source.fetch('agents/a/gone', { versionId: 'x'.repeat(36) })).rejects.toThrow(
      SecretNotFoundError,
    );
    await store.remove('agents/a/gone');
    await expect(store.source.fetch('agents/a/gone')).rejects.toThrow(SecretNotFoundError);
  });

  test('broken down it is unreachable, and a cache over it serves up to its bound, then fails safely', async () => {
    await store.put('agents/a/held', { password: 'canary-3f9d' });
    let now = 0;
    using cache = new SecretCache(store.source, { now: () => now, staleMs: 3_600_000 });
    const { versionId } = await cache.get('agents/a/held');
    await store.breakDown();
    await expect(store.source.fetch('agents/a/held')).rejects.toThrow(SourceUnreachableError);
    now = 3_600_000;
    expect((await cache.get('agents/a/held')).versionId).toBe(versionId);
    now += 1;
    const failure = await cache.get('agents/a/held').catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SecretUnavailableError);
    expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain('canary');
  });
});
