import { beforeEach, describe, expect, test } from 'vitest';
import type { SecretCacheOptions } from '../../../agent/cache-options.ts';
import {
  AgentClosedError,
  SecretDeniedError,
  SecretMalformedError,
  SecretUnavailableError,
  SourceUnreachableError,
} from '../../../agent/errors.ts';
import { SecretCache } from '../../../agent/secret-cache.ts';
import { longestLagMs } from '../../../shared/secrets-manager/lag.ts';
import { cacheOver, epoch, Store, secret, settled, timeOf, versionIdOf } from './setting.ts';

const minute = 60_000;
const began = 500 * minute;
let store: Store;
let waits: number[];
let cache: SecretCache;

/** The waits between two rounds of reads are noted. `inWait` happens in each. */
const cacheWith = (options: SecretCacheOptions = {}, inWait = () => {}) =>
  cacheOver(store, {
    wait: async (ms) => {
      waits.push(ms);
      store.now += ms;
      inWait();
    },
    ...options,
  });

beforeEach(() => {
  store = new Store();
  store.now = began;
  waits = [];
  cache = cacheWith();
});
const served = async (name = secret) => Number((await cache.get(name)).versionId);
const fetched = () => store.fetches.map(({ versionId }) => versionId && Number(versionId));

describe('what is held', () => {
  test('is renewed ahead after four fifths of its time, and not at their end', async () => {
    await served();
    store.now += 4 * minute;
    await served();
    await settled();
    expect(store.fetches).toHaveLength(1);
    store.now += 1;
    await served();
    await settled();
    expect(store.fetches).toHaveLength(2);
  });

  test('is not shown by peek past its time, nor of a secret that was never read', async () => {
    expect(cache.peek(secret)).toBeUndefined();
    expect(cache.held(secret)).toBeUndefined();
    await served();
    store.now += 5 * minute - 1;
    expect(cache.peek(secret)?.versionId).toBe(versionIdOf(0));
    store.now += 1;
    expect(cache.peek(secret)).toBeUndefined();
    expect(store.fetches).toHaveLength(1);
  });

  test('is read again before it is served next once it is invalidated, and nothing else is', async () => {
    await Promise.all([served('a'), served('b')]);
    cache.invalidate('a');
    cache.invalidate('never read');
    await Promise.all([served('a'), served('b')]);
    expect(store.fetches).toHaveLength(3);
    cache.invalidate();
    await Promise.all([served('a'), served('b')]);
    expect(store.fetches).toHaveLength(5);
    expect(await served('never read')).toBe(0);
  });

  test('that is invalidated still stands in while the source is out of reach, up to the hard bound', async () => {
    await served();
    store.failure = new SourceUnreachableError('down');
    store.now += minute;
    cache.invalidate();
    expect(await served()).toBe(0);
    expect(cache.usableUntil(secret)).toBe(began + 60 * minute);
  });

  test.each([
    ['the first one', undefined, 0],
    ['a later one', secret, 5 * minute],
  ])(
    'and invalidated while a read is under way, %s, is read again for those who ask from then on',
    async (_, which, age) => {
      if (age > 0) await served();
      store.now += age;
      const { promise, resolve } = Promise.withResolvers<void>();
      store.gate = promise;
      const early = served();
      store.rotate();
      cache.invalidate(which);
      const late = [served(), served()];
      store.fetches = [];
      store.gate = Promise.resolve();
      resolve();
      expect([await early, ...(await Promise.all(late)), await served()]).toEqual([0, 1, 1, 1]);
      expect(store.fetches, 'one for all of them').toHaveLength(1);
      expect(store.mostFlying).toBe(1);
    },
  );

  test('and invalidated while a read is under way that fails still stands in', async () => {
    await served();
    store.now += 5 * minute;
    const { promise, resolve } = Promise.withResolvers<void>();
    store.gate = promise;
    store.failure = new SourceUnreachableError('down');
    const early = served();
    cache.invalidate();
    const late = served();
    resolve();
    expect(await Promise.all([early, late])).toEqual([0, 0]);
  });

  test('may be used up to the hard bound, and is forgotten after it', async () => {
    expect(cache.isUsable(secret)).toBe(false);
    await served();
    store.now += 60 * minute;
    expect(cache.isUsable(secret)).toBe(true);
    store.now += 1;
    expect(cache.isUsable(secret)).toBe(false);
    store.failure = new SourceUnreachableError('down');
    await expect(served()).rejects.toThrow(SecretUnavailableError);
    expect(cache.usableUntil(secret)).toBeUndefined();
  });
});

describe('a read that fails', () => {
  test('is not tried again before half a second has passed, and then it is', async () => {
    store.failure = new SourceUnreachableError('down');
    for (const ms of [0, 499, 1]) {
      store.now += ms;
      await expect(served()).rejects.toThrow(SecretUnavailableError);
    }
    expect(store.fetches).toHaveLength(2);
  });

  test('is the cause of the error where nothing held may stand in', async () => {
    store.failure = new SourceUnreachableError('down');
    await expect(served()).rejects.toMatchObject({ name: 'SecretUnavailableError', cause: store.failure });
  });

  test('as what was read is no secret of ours: the last known good stands in, and without one that is the error', async () => {
    const malformed = new SecretMalformedError('no JSON');
    store.failure = malformed;
    await expect(served()).rejects.toBe(malformed);
    store.failure = undefined;
    store.now += minute;
    expect(await served()).toBe(0);
    store.failure = malformed;
    store.now += 5 * minute;
    expect(await served()).toBe(0);
  });

  test('as denied leaves nothing that could stand in for the secret later', async () => {
    await served();
    store.now += 5 * minute;
    store.failure = new SecretDeniedError('denied');
    await expect(served()).rejects.toThrow(SecretDeniedError);
    store.failure = new SourceUnreachableError('down');
    store.now += minute;
    await expect(served()).rejects.toThrow(SecretUnavailableError);
  });

  test.each([
    ['is served', 0, 'served'],
    ['is refused', 1, 'SecretUnavailableError'],
  ])('by its answer coming %s where that is %d ms past the hard bound', async (_, lateMs, outcome) => {
    store.gateOf = async () => {
      store.now += 60 * minute + lateMs;
      store.gateOf = () => store.gate;
    };
    const reading = cache.get(secret).then(
      () => 'served',
      (error: Error) => error.name,
    );
    expect(await reading).toBe(outcome);
    expect(store.fetches).toHaveLength(1);
    expect(cache.stats().servedStale).toBe(0);
  });

  describe('until its next try is half a minute off', () => {
    beforeEach(async () => {
      await served();
      store.failure = new SourceUnreachableError('down');
      for (store.now += 5 * minute; store.now < began + 8 * minute; store.now += 500) await served();
      // Until one has just failed.
      for (const { length } = store.fetches; store.fetches.length === length; store.now += 500)
        await served();
      store.fetches = [];
    });

    test('is tried again at once on a notice: the first rotation after an outage is none of its own', async () => {
      store.failure = undefined;
      cache.notice(store.rotate());
      expect(await served()).toBe(1);
      expect(store.fetches).toHaveLength(1);
    });

    test('and then no sooner than it would be, where that fails too', async () => {
      cache.notice(store.rotate());
      for (let second = 0; second < 15; second += 1) {
        await expect(served()).rejects.toThrow(SecretUnavailableError);
        store.now += 1_000;
      }
      expect(store.fetches).toHaveLength(1);
    });

    test('is tried again at once for one to whom what is held was refused, once in two seconds', async () => {
      for (let tenth = 0; tenth < 40; tenth += 1) {
        expect((await cache.refresh(secret)).versionId).toBe(versionIdOf(0));
        store.now += 100;
      }
      expect(store.fetches).toHaveLength(2);
      store.failure = undefined;
      store.rotate();
      expect((await cache.refresh(secret)).versionId).toBe(versionIdOf(1));
    });

    test('is tried again at once on a notice that comes while the last try is still waited for', async () => {
      store.now += 15_000;
      const { promise, resolve } = Promise.withResolvers<void>();
      store.gate = promise;
      const early = served();
      store.failure = undefined;
      store.gate = Promise.resolve();
      cache.notice(store.rotate());
      resolve();
      await expect(early).rejects.toThrow(SecretUnavailableError);
      expect(await served()).toBe(1);
      expect(store.fetches).toHaveLength(2);
    });

    test('is not tried again for every message of a flood', async () => {
      for (let tenth = 0; tenth < 100; tenth += 1) {
        cache.notice(store.noticeOf(100 + tenth, epoch + store.now + 1_000 * tenth));
        await settled();
        store.now += 100;
      }
      expect(store.fetches.length).toBeLessThanOrEqual(10);
    });
  });

  test('a hundred times a minute is spared the source, and the last known good stands in', async () => {
    await served();
    for (let number = 0; number < 150; number += 1) {
      cache.invalidate();
      expect(await served()).toBe(0);
    }
    expect(store.fetches).toHaveLength(100);
    store.now += minute;
    store.rotate();
    expect(await served()).toBe(1);
  });
});

describe('a version that was noticed and does not show', () => {
  test('is looked for in eight rounds, for longer than reads lag, by its id and as the one in force', async () => {
    await served();
    store.fetches = [];
    cache.notice(store.noticeOf(77, epoch + store.now));
    expect(await served()).toBe(0);
    expect(waits).toEqual([50, 100, 200, 400, 800, 1_600, 2_400]);
    expect(fetched()).toEqual(Array(8).fill([77, undefined]).flat());
  });

  test('costs one read while the source is out of reach', async () => {
    await served();
    store.fetches = [];
    store.failure = new SourceUnreachableError('down');
    cache.notice(store.rotate());
    await expect(served()).rejects.toThrow(SecretUnavailableError);
    expect(fetched()).toEqual([1]);
  });

  test('is looked for as long where a read fails in between: that does not begin the waits anew', async () => {
    cache = cacheWith({}, () => {
      store.lag = store.now - began <= longestLagMs ? 2 : 0;
      if (waits.length === 4) store.failure = new SourceUnreachableError('down');
    });
    await served();
    const notice = store.rotate();
    store.lag = 2;
    cache.notice(notice);
    await expect(served()).rejects.toThrow(SecretUnavailableError);
    store.failure = undefined;
    store.now += 500;
    store.lag = 2;
    expect(await served()).toBe(1);
  });

  test('is looked for by its id from the second round on, where it had shown before', async () => {
    cache.notice(store.rotate());
    await served();
    store.fetches = [];
    store.lag = 1;
    store.now += 5 * minute;
    expect(await served()).toBe(1);
    expect(fetched()).toEqual([undefined, 1]);
    expect(waits).toEqual([50]);
  });

  test('gives way at once to one that is noticed meanwhile, three times; then words wait their turn', async () => {
    await served();
    let number = 100;
    const forge = () => cache.notice(store.noticeOf(number, epoch + store.now + 1_000 * number++));
    let reads = 0;
    store.gateOf = async () => {
      reads += 1;
      // Each second read asks which version is in force.
      if (reads % 2 === 0 && reads <= 10) forge();
    };
    store.fetches = [];
    forge();
    await served();
    expect(fetched().slice(0, 12)).toEqual(
      [100, 101, 102, 103, 104, 105].flatMap((each) => [each, undefined]),
    );
    // The rounds without a wait count for its length.
    expect(waits.slice(0, 3)).toEqual([400, 800, 1_600]);
    expect(store.fetches).toHaveLength(28);
  });

  test('since a newer one came into force was no false word', async () => {
    cache = cacheWith({}, () => {
      if (waits.length % 5 === 0) store.rotate();
    });
    await served();
    for (const number of [77, 78, 79]) {
      cache.notice(store.noticeOf(number, epoch + store.now));
      expect(await served()).toBe(number - 76);
      store.now += 10_000;
    }
    expect(waits).toHaveLength(15);
    cache.notice(store.rotate());
    expect(await served()).toBe(4);
  });

  test('is waited for by the clock of the machine, unless told otherwise', async () => {
    const { wait: _, ...time } = timeOf(store);
    cache = new SecretCache(store, time);
    await served();
    const notice = store.rotate();
    store.lag = 2;
    cache.notice(notice);
    const before = performance.now();
    expect(await served()).toBe(1);
    expect(performance.now() - before).toBeGreaterThan(45);
  });
});

describe('closing', () => {
  test('while a read is under way keeps nothing of it', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    store.gate = promise;
    const reading = served();
    cache[Symbol.dispose]();
    resolve();
    await expect(reading).rejects.toThrow(AgentClosedError);
    expect(cache.usableUntil(secret)).toBeUndefined();
    expect(cache.peek(secret)).toBeUndefined();
  });

  test('between two rounds of reads ends them', async () => {
    await served();
    cache = cacheWith({}, () => cache[Symbol.dispose]());
    await served();
    store.fetches = [];
    cache.notice(store.noticeOf(77, epoch + store.now));
    await expect(served()).rejects.toThrow(AgentClosedError);
    expect(store.fetches).toHaveLength(2);
  });

  test('by a listener of the version that comes in serves nobody that version', async () => {
    cache.onChange(secret, () => cache[Symbol.dispose]());
    await expect(served()).rejects.toThrow(AgentClosedError);
  });
});
