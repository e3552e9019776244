import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { SecretCacheOptions } from '../../../agent/cache-options.ts';
import { SecretDeniedError, SourceUnreachableError } from '../../../agent/errors.ts';
import { SecretCache } from '../../../agent/secret-cache.ts';
import type { VersionNotice } from '../../../agent/version-floor.ts';
import { cacheOver, Store, secret, settled, timeOf, versionIdOf } from './setting.ts';

const minute = 60_000;
let store: Store;
let cache: SecretCache;
let told: number[];
let timers: Set<{ readonly at: number; readonly act: () => void }>;

/** A cache whose timers go by the store's clock. */
const listenedTo = (options: SecretCacheOptions = {}) =>
  cacheOver(store, {
    after: (ms, act) => {
      const timer = { at: store.now + ms, act };
      timers.add(timer);
      return { [Symbol.dispose]: () => timers.delete(timer) };
    },
    ...options,
  });

beforeEach(() => {
  store = new Store();
  timers = new Set();
  told = [];
  cache = listenedTo();
});
const served = async () => Number((await cache.get(secret)).versionId);
const listen = () => cache.onChange(secret, ({ versionId }) => told.push(Number(versionId)));

/** Later than the last one, by the whole seconds that times come in. */
function rotate(): VersionNotice {
  store.now += 1_000;
  return store.rotate();
}

/** Lets time pass in which nobody asks for anything. */
async function pass(ms: number): Promise<void> {
  const until = store.now + ms;
  for (;;) {
    const [next] = [...timers].filter(({ at }) => at <= until).toSorted((one, other) => one.at - other.at);
    if (!next) break;
    timers.delete(next);
    store.now = Math.max(store.now, next.at);
    next.act();
    await settled();
  }
  store.now = until;
}

describe('a listener', () => {
  test('of a cache is told of each version of every secret', async () => {
    const onVersion = vi.fn();
    cache = listenedTo({ onVersion });
    for (const name of ['a', 'b', 'a']) await cache.get(name);
    store.rotate();
    await cache.refresh('a');
    expect(onVersion.mock.calls.map(([name, { versionId }]) => [name, Number(versionId)])).toEqual([
      ['a', 0],
      ['b', 0],
      ['a', 1],
    ]);
  });

  test('goes on being told when another one has stopped', async () => {
    const [one, other] = [vi.fn(), vi.fn()];
    const listening = cache.onChange(secret, one);
    cache.onChange(secret, other);
    await served();
    listening[Symbol.dispose]();
    store.rotate();
    await cache.refresh(secret);
    expect([one.mock.calls.length, other.mock.calls.length]).toEqual([1, 2]);
  });

  test('that listens again after all had stopped is told', async () => {
    cache.onChange(secret, () => undefined)[Symbol.dispose]();
    const again = vi.fn();
    cache.onChange(secret, again);
    await served();
    expect(again).toHaveBeenCalledOnce();
  });

  test('that hears of the next version while the last one comes in has nobody served the last one', async () => {
    cache.onChange(secret, ({ versionId }) => {
      if (versionId === versionIdOf(0)) cache.notice(store.rotate());
    });
    expect(await served()).toBe(1);
  });

  test('and none at all raises no warning', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue();
    await served();
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
  });
});

describe('whoever listens, while nobody asks for the secret,', () => {
  test('hears of a version within a TTL', async () => {
    listen();
    expect(await served()).toBe(0);
    rotate();
    await pass(5 * minute);
    expect(told).toEqual([0, 1]);
    rotate();
    await pass(5 * minute);
    expect(told).toEqual([0, 1, 2]);
    expect(store.fetches.length).toBeLessThanOrEqual(4);
  });

  test('hears of the one in force too, where nobody ever asked', async () => {
    listen();
    await pass(5 * minute);
    expect(told).toEqual([0]);
  });

  test('hears of what an invalidation is to bring up, at once', async () => {
    listen();
    await served();
    rotate();
    cache.invalidate();
    await settled();
    expect(told).toEqual([0, 1]);
    rotate();
    cache.invalidate(secret);
    await settled();
    expect(told).toEqual([0, 1, 2]);
  });

  test('hears of what an invalidation is to bring up though a read is under way', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    store.gate = promise;
    listen();
    const early = served();
    rotate();
    cache.invalidate();
    resolve();
    await early;
    await settled();
    expect(told).toEqual([0, 1]);
  });

  test('hears of what a notice says, and of no version twice, though the value had to go for another', async () => {
    cache = listenedTo({ maxEntries: 1 });
    listen();
    await served();
    await cache.get('another');
    cache.notice(rotate());
    await settled();
    expect(told).toEqual([0, 1]);
    await cache.get('another');
    await served();
    expect(told).toEqual([0, 1]);
  });

  test('hears of it half a minute after an outage, and the source was asked ever more rarely', async () => {
    listen();
    await served();
    store.failure = new SourceUnreachableError('down');
    store.fetches = [];
    await pass(30 * minute);
    expect(store.fetches.length).toBeLessThan(130);
    rotate();
    store.failure = undefined;
    await pass(minute / 2);
    expect(told).toEqual([0, 1]);
  });

  test('has a notice that could not be followed tried again soon', async () => {
    listen();
    await served();
    store.failure = new SourceUnreachableError('down');
    cache.notice(rotate());
    await settled();
    store.failure = undefined;
    await pass(2_000);
    expect(told).toEqual([0, 1]);
  });

  test('has what was denied asked for once a TTL, and hears of it when it is granted', async () => {
    listen();
    store.failure = new SecretDeniedError('denied');
    await pass(20 * minute);
    expect(store.fetches).toHaveLength(5);
    store.failure = undefined;
    await pass(5 * minute);
    expect(told).toEqual([0]);
  });

  test('costs nothing where others ask as often', async () => {
    listen();
    for (let second = 0; second < 1_150; second += 1) {
      await served();
      await pass(1_000);
    }
    expect(store.fetches).toHaveLength(5);
  });

  test('has a secret read every two seconds at most, however short its TTL is', async () => {
    cache = listenedTo({ ttlMs: 0 });
    listen();
    await pass(minute);
    expect(store.fetches).toHaveLength(30);
  });

  test('has no timer set for longer than one can be', async () => {
    cache = listenedTo({ ttlMs: 1e12, staleMs: 1e12 });
    listen();
    expect([...timers].map(({ at }) => at)).toEqual([2 ** 31 - 1]);
  });

  test('has nothing read any more once the last one has stopped', async () => {
    const [one, other] = [listen(), listen()];
    await served();
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    await pass(5 * minute);
    expect(store.fetches).toHaveLength(2);
    other[Symbol.dispose]();
    expect(timers.size).toBe(0);
    listen();
    one[Symbol.dispose]();
    rotate();
    await pass(5 * minute);
    expect(told.at(-1), 'and who begins anew hears').toBe(1);
  });

  test('has nothing read any more once the cache is closed', async () => {
    listen();
    const reading = served();
    cache[Symbol.dispose]();
    await expect(reading).rejects.toThrow();
    listen();
    expect(timers.size).toBe(0);
  });

  test('keeps no process alive', () => {
    const { wait: _, ...time } = timeOf(store);
    const timersOf = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timersOf();
    cache = new SecretCache(store, time);
    using _listening = listen();
    expect(timersOf()).toBe(before);
  });
});
