import { beforeEach, describe, expect, test } from 'vitest';
import {
  AgentClosedError,
  SecretDeniedError,
  SecretNotFoundError,
  SourceUnreachableError,
} from '../../../agent/errors.ts';
import type { SecretCache } from '../../../agent/secret-cache.ts';
import { cacheOver, Store, secret, settled, versionIdOf } from './setting.ts';

const minute = 60_000;
const began = 500 * minute;
let store: Store;
let cache: SecretCache;
beforeEach(() => {
  store = new Store();
  store.now = began;
  cache = cacheOver(store);
});
const versionId = versionIdOf(0);

describe('what a cache tells of itself', () => {
  test('counts what it served and read', async () => {
    expect(cache.stats()).toEqual({ hits: 0, misses: 0, fetches: 0, failedReads: 0, servedStale: 0 });
    await cache.get(secret);
    expect(cache.stats()).toEqual({ hits: 0, misses: 1, fetches: 1, failedReads: 0, servedStale: 0 });
    await cache.get(secret);
    expect(cache.held(secret)?.versionId).toBe(versionId);
    expect(cache.stats()).toMatchObject({ hits: 2, misses: 1, fetches: 1 });
    store.now += 5 * minute;
    store.failure = new SourceUnreachableError('down');
    expect(cache.held(secret)).toBeUndefined();
    await cache.get(secret);
    expect(cache.stats()).toEqual({ hits: 2, misses: 2, fetches: 2, failedReads: 1, servedStale: 1 });
  });

  test('gives a copy, which nothing done to it changes', async () => {
    const stats = cache.stats();
    await cache.get(secret);
    expect(stats.misses).toBe(0);
  });

  test('of a held secret: fresh within its time, stale past it while the source is down, and unavailable past the hard bound', async () => {
    await cache.get(secret);
    store.now += 1_000;
    expect(cache.health()).toEqual([{ secretId: secret, state: 'fresh', versionId, ageMs: 1_000 }]);
    store.now = began + 5 * minute;
    store.failure = new SourceUnreachableError('down');
    await cache.get(secret);
    const failure = 'SourceUnreachableError';
    expect(cache.health()).toMatchObject([{ state: 'stale', ageMs: 5 * minute, failure }]);
    store.now = began + 60 * minute;
    expect(cache.health()).toMatchObject([{ state: 'stale', failure }]);
    store.now += 1;
    expect(cache.health()).toEqual([{ secretId: secret, state: 'unavailable', failure }]);
  });

  test('is silent about what nobody asks for: age without a failed read is no state', async () => {
    await cache.get(secret);
    for (const idle of [5 * minute, 60 * minute, 3_000 * minute]) {
      store.now += idle;
      expect(cache.health()).toEqual([]);
    }
    await cache.get(secret);
    expect(cache.health()).toMatchObject([{ state: 'fresh', ageMs: 0 }]);
  });

  test('is silent about values that had to go for others, noticed or not', async () => {
    const small = cacheOver(store, { maxEntries: 2 });
    for (const name of [secret, 'b', 'c']) await small.get(name);
    small.notice(store.rotate());
    expect(small.health().map(({ secretId, state }) => [secretId, state])).toEqual([
      ['c', 'fresh'],
      ['b', 'fresh'],
    ]);
  });

  test('forgets a denied name that it never served, an hour after it may be asked for again', async () => {
    store.failure = new SecretDeniedError('denied');
    await expect(cache.get('agents/denied')).rejects.toThrow(SecretDeniedError);
    store.failure = undefined;
    store.now += 60 * minute + 500;
    expect(cache.health()).toMatchObject([{ state: 'unavailable', failure: 'SecretDeniedError' }]);
    store.now += 1;
    expect(cache.health()).toEqual([]);
    await settled();
    expect(store.fetches, 'nor does it ask for it').toHaveLength(1);
  });

  test.each([
    ['served before', true],
    ['never had', false],
  ])('recovers without a caller: looks after a secret, %s, once its retry is due', async (_, before) => {
    if (before) await cache.get(secret);
    store.now += 61 * minute;
    store.failure = new SourceUnreachableError('down');
    await expect(cache.get(secret)).rejects.toThrow();
    store.failure = undefined;
    const { length } = store.fetches;
    expect(cache.health()).toMatchObject([{ state: 'unavailable' }]);
    await settled();
    expect(store.fetches, 'not before').toHaveLength(length);
    store.now += 500;
    expect(cache.health()).toMatchObject([{ state: 'unavailable' }]);
    await settled();
    expect(cache.health()).toEqual([{ secretId: secret, state: 'fresh', versionId, ageMs: 0 }]);
  });

  test('why the last read failed, until one succeeds', async () => {
    await cache.get(secret);
    store.now += 5 * minute;
    store.failure = new SourceUnreachableError('down');
    await cache.get(secret);
    expect(cache.health()).toEqual([
      { secretId: secret, state: 'stale', versionId, ageMs: 5 * minute, failure: 'SourceUnreachableError' },
    ]);
    store.failure = undefined;
    store.now += minute;
    await cache.get(secret);
    expect(cache.health()).toEqual([{ secretId: secret, state: 'fresh', versionId, ageMs: 0 }]);
  });

  test('is unavailable where what it holds is older than what it was told of', async () => {
    await cache.get(secret);
    store.failure = new SourceUnreachableError('down');
    cache.notice(store.rotate());
    await settled();
    expect(cache.health()).toEqual([
      { secretId: secret, state: 'unavailable', failure: 'SourceUnreachableError' },
    ]);
  });

  test('by whatever name a notice calls a secret, tells of those alone that the agent asked for', async () => {
    cache.notice(store.rotate());
    expect(cache.health()).toEqual([]);
    await cache.get(secret);
    cache.notice(store.rotate());
    await settled();
    expect(cache.health()).toMatchObject([{ secretId: secret, state: 'fresh' }]);
  });

  test('does not count a name that there never was against itself; a secret that is gone, or denied, it does', async () => {
    store.failure = new SecretNotFoundError('no such secret');
    await expect(cache.get('agents/slip')).rejects.toThrow(SecretNotFoundError);
    expect(cache.health()).toEqual([]);
    store.failure = new SecretDeniedError('denied');
    await expect(cache.get('agents/denied')).rejects.toThrow(SecretDeniedError);
    expect(cache.health()).toEqual([
      { secretId: 'agents/denied', state: 'unavailable', failure: 'SecretDeniedError' },
    ]);
    store.failure = undefined;
    await cache.get(secret);
    store.failure = new SecretNotFoundError('gone');
    store.now += 5 * minute;
    await expect(cache.get(secret)).rejects.toThrow(SecretNotFoundError);
    expect(cache.health()).toContainEqual({
      secretId: secret,
      state: 'unavailable',
      failure: 'SecretNotFoundError',
    });
  });

  test('names the secret read last first', async () => {
    for (const name of ['a', 'b', 'a']) await cache.refresh(name);
    expect(cache.health().map(({ secretId }) => secretId)).toEqual(['a', 'b']);
  });

  test('is nothing once it is closed, whatever is asked of it', async () => {
    await cache.get(secret);
    cache[Symbol.dispose]();
    expect(cache.health()).toEqual([]);
    await expect(cache.get(secret)).rejects.toThrow(AgentClosedError);
    await expect(cache.refresh(secret)).rejects.toThrow(AgentClosedError);
    cache.notice(store.rotate());
    await settled();
    expect(cache.health()).toEqual([]);
    expect(cache.stats()).toMatchObject({ misses: 1, fetches: 1, failedReads: 0 });
    expect(store.fetches).toHaveLength(1);
  });
});
