import { beforeEach, describe, expect, test } from 'vitest';
import {
  AgentClosedError,
  SecretDeniedError,
  SecretNotFoundError,
  SecretUnavailableError,
  SourceUnreachableError,
} from '../../../agent/errors.ts';
import type { SecretCache } from '../../../agent/secret-cache.ts';
import { cacheOver, epoch, Store, secret, secretArn, settled, versionIdOf } from './setting.ts';

const minute = 60_000;
let store: Store;
let cache: SecretCache;
const served = async () => Number((await cache.get(secret)).versionId);

beforeEach(() => {
  store = new Store();
  cache = cacheOver(store);
});

describe('within its time', () => {
  test('reads once for all who ask at the same time', async () => {
    await Promise.all(Array.from({ length: 1_000 }, () => cache.get(secret)));
    expect(store.fetches).toHaveLength(1);
  });

  test('serves what it read for five minutes, and renews it ahead of their end without holding up a reader', async () => {
    await served();
    store.now = 3.9 * minute;
    store.rotate();
    expect(await served()).toBe(0);
    expect(store.fetches).toHaveLength(1);
    store.now = 4.1 * minute;
    expect(await served()).toBe(0);
    await settled();
    expect(store.fetches).toHaveLength(2);
    expect(await served()).toBe(1);
  });

  test('reads again after five minutes', async () => {
    await served();
    store.rotate();
    store.now = 5 * minute;
    expect(await served()).toBe(1);
  });

  test('takes up to a tenth off the time, so that a fleet does not read in step', async () => {
    cache = cacheOver(store, { random: () => 0.999 });
    await served();
    store.rotate();
    store.now = 4.51 * minute;
    expect(await served()).toBe(1);
  });

  test('holds no more secrets than told, and gives up the one used longest ago', async () => {
    cache = cacheOver(store, { maxEntries: 2 });
    for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) await cache.get(name);
    expect(store.fetches).toHaveLength(4);
  });

  test('tells of each secret that it holds no more: another took its place, or it is gone', async () => {
    const forgotten: string[] = [];
    cache = cacheOver(store, { maxEntries: 2, onForgotten: (secretId) => forgotten.push(secretId) });
    for (const name of ['a', 'b', 'a', 'c']) await cache.get(name);
    expect(forgotten).toEqual(['b']);
    store.rotate();
    await cache.refresh('a');
    expect(forgotten).toEqual(['b']);
    store.failure = new SecretNotFoundError('gone');
    store.now += 5 * minute;
    await expect(cache.get('c')).rejects.toThrow(SecretNotFoundError);
    expect(forgotten).toEqual(['b', 'c']);
  });

  test('tells of each version once', async () => {
    const told: string[] = [];
    const listening = cache.onChange(secret, ({ versionId }) => told.push(versionId));
    await served();
    await cache.refresh(secret);
    store.now = 5 * minute;
    store.rotate();
    await served();
    listening[Symbol.dispose]();
    store.now = 10 * minute;
    store.rotate();
    await served();
    expect(told).toEqual([versionIdOf(0), versionIdOf(1)]);
  });

  test('reads anew on demand, at most once in two seconds', async () => {
    await served();
    store.now = 10_000;
    store.rotate();
    expect((await cache.refresh(secret)).versionId).toBe(versionIdOf(1));
    store.now = 11_999;
    store.rotate();
    expect((await cache.refresh(secret)).versionId).toBe(versionIdOf(1));
    store.now = 12_000;
    expect((await cache.refresh(secret)).versionId).toBe(versionIdOf(2));
  });

  test('a read on demand does not make do with one that began before', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    store.gate = promise;
    const early = cache.get(secret);
    store.rotate();
    const refreshed = cache.refresh(secret);
    resolve();
    expect((await early).versionId).toBe(versionIdOf(0));
    expect((await refreshed).versionId).toBe(versionIdOf(1));
  });

  test('is empty and refuses to read once closed', async () => {
    await served();
    cache[Symbol.dispose]();
    expect(cache.peek(secret)).toBeUndefined();
    await expect(served()).rejects.toThrow(AgentClosedError);
  });
});

describe('in an outage', () => {
  beforeEach(async () => {
    await served();
    store.failure = new SourceUnreachableError('down');
  });

  test('serves the last known good up to the hard bound and not beyond, however often it is asked', async () => {
    for (store.now = 5 * minute; store.now <= 60 * minute; store.now += minute)
      expect(await served()).toBe(0);
    store.now = 60 * minute + 1;
    await expect(served()).rejects.toThrow(SecretUnavailableError);
    expect(cache.isUsable(secret)).toBe(false);
  });

  test('does not take a read after the hard bound for one before it', async () => {
    store.now = 61 * minute;
    await expect(served()).rejects.toThrow(SecretUnavailableError);
    store.failure = undefined;
    store.now += minute;
    expect(await served()).toBe(0);
  });

  test('asks a source that is out of reach ever more rarely', async () => {
    for (let second = 0; second < 600; second += 1) {
      store.now = 5 * minute + second * 1_000;
      await Promise.all([served(), served()]);
    }
    expect(store.fetches.length).toBeLessThan(60);
  });

  test('serves the new version soon after the source is back', async () => {
    store.now = 6 * minute;
    await served();
    store.rotate();
    store.failure = undefined;
    store.now += 30_000;
    expect(await served()).toBe(1);
  });

  test('papers over neither a secret that is gone nor one that is denied', async () => {
    for (const error of [new SecretNotFoundError('gone'), new SecretDeniedError('denied')]) {
      store.failure = error;
      store.now += 10 * minute;
      await expect(served()).rejects.toBe(error);
      await expect(served()).rejects.toBe(error);
    }
    expect(store.fetches).toHaveLength(3);
  });
});

describe('after a notice', () => {
  beforeEach(async () => {
    await served();
    store.fetches = [];
    store.now = 10_000;
  });

  test('serves the noticed version at once, for one read by its id', async () => {
    cache.notice(store.rotate());
    expect(await served()).toBe(1);
    expect(store.fetches).toEqual([{ at: 10_000, versionId: versionIdOf(1) }]);
  });

  test('heeds it whether the secret is called by its name, its ARN or its ARN without the suffix', async () => {
    const ids = [secret, secretArn, secretArn.slice(0, -7)];
    for (const id of ids) await cache.get(id);
    cache.notice(store.rotate());
    for (const id of ids) expect((await cache.get(id)).versionId).toBe(versionIdOf(1));
  });

  test('reads again while the reads lag behind', async () => {
    const notice = store.rotate();
    store.lag = 4;
    cache.notice(notice);
    expect(await served()).toBe(1);
    expect(store.now - 10_000).toBeLessThan(1_000);
  });

  test('does not put an older version back that was being read meanwhile', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    store.gate = promise;
    store.now = 5 * minute;
    const reading = served();
    const notice = store.rotate();
    store.gate = Promise.resolve();
    cache.notice(notice);
    resolve();
    expect(await reading).toBe(1);
    expect(cache.peek(secret)?.versionId).toBe(versionIdOf(1));
  });

  test('serves nothing older while the source is out of reach', async () => {
    store.failure = new SourceUnreachableError('down');
    cache.notice(store.rotate());
    await expect(served()).rejects.toThrow(SecretUnavailableError);
    expect(cache.peek(secret)).toBeUndefined();
    expect(cache.isUsable(secret)).toBe(true);
  });

  test('a late one and a repeated one change nothing and cost nothing', async () => {
    const first = store.rotate();
    store.now += 5_000;
    const second = store.rotate();
    cache.notice(second);
    expect(await served()).toBe(2);
    store.fetches = [];
    for (const notice of [first, second, first]) cache.notice(notice);
    expect(await served()).toBe(2);
    expect(store.fetches).toEqual([]);
  });

  test('follows a rollback, whose version is older than the one it replaces', async () => {
    cache.notice(store.rotate());
    await served();
    store.now += 60_000;
    const rollback = store.moveTo(0);
    store.lag = 2;
    cache.notice(rollback);
    expect(await served()).toBe(0);
  });

  test('keeps what it was told though the value was evicted', async () => {
    cache = cacheOver(store, { maxEntries: 1 });
    await served();
    const notice = store.rotate();
    cache.notice(notice);
    await served();
    await cache.get('another');
    store.lag = 1;
    expect(await served()).toBe(1);
  });

  test('does not go back to an older version when a later read lags', async () => {
    cache.notice(store.rotate());
    await served();
    store.now += 5 * minute;
    store.lag = 1;
    expect(await served()).toBe(1);
  });
});

describe('after a forged notice', () => {
  const forged = (number: number, movedAt: number) => ({ ...store.noticeOf(number, movedAt) });

  beforeEach(async () => {
    await served();
    store.fetches = [];
    store.now = 10_000;
  });

  test('serves the version in force again within six seconds, after sixteen reads', async () => {
    cache.notice(forged(77, epoch + 1e9));
    expect(await served()).toBe(0);
    expect(store.now).toBeLessThan(16_000);
    expect(store.fetches).toHaveLength(16);
  });

  test('serves it as soon where there are three at once', async () => {
    for (const number of [77, 78, 79]) cache.notice(forged(number, epoch + 1e9 + number));
    expect(await served()).toBe(0);
    expect(store.now).toBeLessThan(16_000);
    expect(store.fetches).toHaveLength(22);
  });

  test('heeds a true one that came after it and says an earlier time', async () => {
    cache.notice(forged(77, epoch + 1e12));
    cache.notice(store.rotate());
    store.lag = 16;
    expect(await served()).toBe(1);
  });

  test('heeds a true one though a forged one pushed the time of the version in force ahead', async () => {
    cache.notice(forged(0, epoch + 1e12));
    cache.notice(store.rotate());
    cache.notice(forged(0, epoch + 1e12));
    expect(await served()).toBe(1);
  });

  test('a flood holds up no reader for long and costs few reads', async () => {
    for (let number = 100; number < 1_100; number += 1) cache.notice(forged(number, epoch + number));
    for (let number = 0; number < 50; number += 1) {
      cache.notice(forged(2_000 + number, epoch + 2_000 + number));
      expect(await served()).toBe(0);
    }
    expect(store.now).toBeLessThan(30_000);
    expect(store.fetches.length).toBeLessThan(60);
  });

  test('a flood that does not stop while it is being looked into makes hints of all notices, for ten minutes', async () => {
    let number = 500;
    const flood = () => cache.notice(forged(number, epoch + 1_000 * number++));
    cache = cacheOver(store, {
      wait: async (ms) => {
        store.now += ms;
        flood();
      },
    });
    await served();
    flood();
    expect(await served()).toBe(0);
    expect(store.now).toBeLessThan(30_000);
    expect(store.fetches.length).toBeLessThan(60);
    cache.notice(store.rotate());
    expect(await served()).toBe(0);
    await settled();
    expect(await served()).toBe(1);
    store.now += 600_001;
    await served();
    cache.notice(store.rotate());
    expect(await served()).toBe(2);
  });
});
