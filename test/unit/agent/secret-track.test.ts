import { beforeEach, describe, expect, test } from 'vitest';
import { ROUND_WAITS_MS, SecretTrack } from '../../../agent/secret-track.ts';
import { met } from '../../../agent/version-floor.ts';
import { longestLagMs } from '../../../shared/secrets-manager/lag.ts';

const minute = 60_000;
let now: number;
let track: SecretTrack;
beforeEach(() => {
  now = 7 * minute;
  track = new SecretTrack(() => now);
});

const word = (number: number) => ({
  secret: 'one',
  secretArn: 'arn:one',
  versionId: `v${number}`,
  versionCreatedAt: number * 1_000,
  movedAt: number * 1_000,
});
const spent = (times: number) => Array.from({ length: times }, () => track.spend());
/** Takes a word that eight rounds of reads don't bear out. */
const falseWord = (number: number) => {
  expect(track.take(word(number))).toBe('moved');
  for (let round = 0; round < 8; round += 1) track.miss(round);
};

test('of a secret that nobody asked for nothing is known', () => {
  expect([track.wasServed, track.failure, track.floors]).toEqual([false, undefined, []]);
});

describe('the source is asked', () => {
  test('a hundred times a minute at most, and those that it was spared do not count', () => {
    expect(spent(101)).toEqual([...Array(100).fill(true), false]);
    now += minute - 1;
    expect(track.spend()).toBe(false);
    now += 1;
    expect(spent(101)).toEqual([...Array(100).fill(true), false]);
  });

  test('in whatever minute one looks', () => {
    spent(50);
    now += minute / 2;
    spent(50);
    now += minute / 2;
    expect(spent(51)).toEqual([...Array(50).fill(true), false]);
  });

  test('on demand once in two seconds', () => {
    expect([track.demand(), track.demand()]).toEqual([true, false]);
    now += 1_999;
    expect(track.demand()).toBe(false);
    now += 1;
    expect(track.demand()).toBe(true);
  });

  test('after failures ever later, from half a second up to half a minute, and at random within a half', () => {
    const waits = [0, 0, 0, 0, 0, 0, 0].map((random) => {
      track.fail('down', random);
      return (track.failure?.retryAt ?? 0) - now;
    });
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    track.failure = undefined;
    track.fail('down', 0.5);
    expect(track.failure).toEqual({ error: 'down', count: 1, retryAt: now + 750 });
  });
});

describe('a read that failed is tried again', () => {
  const retryIn = () => (track.failure?.retryAt ?? 0) - now;

  test('at once on demand, which leaves its waits as long as they were', () => {
    for (let count = 0; count < 4; count += 1) track.fail('down', 0);
    expect(track.demand()).toBe(true);
    expect(track.failure).toEqual({ error: 'down', count: 4, retryAt: now });
    track.fail('down', 0);
    expect(retryIn()).toBe(8_000);
  });

  test('at once where what is to be read has changed, or else two seconds after the last one on demand', () => {
    track.fail('down', 0.999);
    track.hasten();
    expect(retryIn()).toBe(0);
    now += 500;
    for (let count = 0; count < 4; count += 1) track.fail('down', 0);
    track.hasten();
    expect(retryIn()).toBe(1_500);
  });

  test('no later for being hastened, and a read that did not fail takes no turn', () => {
    track.hasten();
    expect([track.failure, track.demand()]).toEqual([undefined, true]);
    track.fail('down', 0);
    track.hasten();
    expect(retryIn()).toBe(500);
  });
});

describe('the word of others', () => {
  test('is looked for until a read that lags shows it too', () => {
    expect(ROUND_WAITS_MS.reduce((sum, ms) => sum + ms)).toBeGreaterThan(longestLagMs);
  });

  test('is no longer a reason to hold up a reader after three that proved false, for ten minutes', () => {
    falseWord(1);
    falseWord(2);
    expect(track.floors).toEqual([]);
    falseWord(3);
    expect(track.take(word(4))).toBe('hinted');
    now += 10 * minute - 1;
    expect(track.take(word(4))).toBe('hinted');
    now += 1;
    expect(track.take(word(4))).toBe('moved');
  });

  test('is trusted again once the first of three false ones is ten minutes old', () => {
    falseWord(1);
    now += 5 * minute;
    falseWord(2);
    falseWord(3);
    now += 5 * minute;
    falseWord(4);
    expect(track.take(word(5))).toBe('hinted');
  });

  test('is not what was false where a version that was in force is gone', () => {
    for (let number = 0; number < 3; number += 1) {
      track.floors = met([], { versionId: `v${number}`, createdAt: 0 });
      for (let round = 0; round < 8; round += 1) track.miss(round);
      expect(track.floors).toEqual([]);
    }
    expect(track.take(word(9))).toBe('moved');
  });

  test('is dropped whole after 16 rounds in one go, and none is trusted then; what was in force stays', () => {
    const floors = met([], { versionId: 'v0', createdAt: 0 });
    track.floors = floors;
    track.take(word(1));
    track.take(word(2));
    track.miss(15);
    expect(track.floors).toHaveLength(3);
    track.miss(16);
    expect(track.floors).toEqual(floors);
    expect(track.take(word(3))).toBe('hinted');
    now += 10 * minute;
    expect(track.take(word(3))).toBe('moved');
  });
});
