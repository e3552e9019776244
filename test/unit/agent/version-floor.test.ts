import { describe, expect, test } from 'vitest';
import {
  type Floors,
  met,
  missed,
  noticed,
  reaches,
  type VersionNotice,
  withoutWords,
} from '../../../agent/version-floor.ts';

const start = Date.parse('2026-11-24T09:00:00Z');
const at = (seconds: number) => start + seconds * 1_000;
const version = (versionId: string, createdAt: number) => ({ versionId, createdAt });

/** That AWSCURRENT moved to a version, so many seconds after the start; it was made a second before, unless told otherwise. */
const notice = (versionId: string, seconds: number, madeAt = seconds - 1): VersionNotice => ({
  secret: 'one',
  secretArn: 'arn:one',
  versionId,
  versionCreatedAt: at(madeAt),
  movedAt: at(seconds),
});
const word = (versionId: string, seconds: number, madeAt = seconds - 1) => ({
  versionId,
  createdAt: at(madeAt),
  movedAt: at(seconds),
  since: at(seconds),
  met: false,
  rounds: 0,
});
const inForce = (versionId: string, seconds: number): Floors => met([], version(versionId, at(seconds)));
const heard = (floors: Floors, ...notices: VersionNotice[]) =>
  notices.reduce((known, each) => noticed(known, each, true).floors, floors);
const ids = (floors: Floors) => floors.map(({ versionId }) => versionId);

describe('a version reaches the floor', () => {
  const floors = heard([], notice('b', 10));
  test('where there is none', () => expect(reaches(version('a', at(0)), [])).toBe(true));
  test('where it is the floor, whenever it was made', () =>
    expect(reaches(version('b', at(0)), floors)).toBe(true));
  test('where it was made a second after the floor came into force, for times of events are whole seconds', () => {
    expect(reaches(version('c', at(11)), floors)).toBe(true);
    expect(reaches(version('c', at(11) - 1), floors)).toBe(false);
    expect(reaches(version('c', at(9.5)), floors)).toBe(false);
  });
});

describe('a notice', () => {
  test('of an unknown version is its word', () => {
    expect(noticed([], notice('a', 10), true)).toEqual({ outcome: 'moved', floors: [word('a', 10)] });
  });

  test('of a newer version goes above the one in force, which stays', () => {
    const floors = inForce('a', 0);
    expect(noticed(floors, notice('b', 10), true)).toEqual({
      outcome: 'moved',
      floors: [word('b', 10), ...floors],
    });
  });

  test('that is repeated says nothing new, and moves nothing', () => {
    const floors = heard(inForce('a', 0), notice('b', 10), notice('c', 20));
    expect(noticed(floors, notice('b', 10), true)).toEqual({ outcome: 'known', floors });
  });

  test('that is repeated with a later time makes the floor stand since then, and keeps its place', () => {
    const floors = heard([], notice('b', 10), notice('c', 20));
    const [top, under] = floors;
    const later = noticed(floors, notice('b', 30), true);
    expect(later).toEqual({ outcome: 'known', floors: [top, { ...under, since: at(30) }] });
    expect(noticed(later.floors, notice('b', 10), true).floors).toEqual(later.floors);
  });

  test('that says an earlier time than the version in force is late where its version is older, and else a hint', () => {
    const floors = heard(inForce('z', 100));
    expect(noticed(floors, notice('a', 50), true)).toEqual({ outcome: 'known', floors });
    expect(noticed(floors, notice('a', 50, 100), true)).toEqual({ outcome: 'known', floors });
    expect(noticed(floors, notice('a', 50, 101), true)).toEqual({ outcome: 'hinted', floors });
  });

  test('of the second in which the version in force was made goes above it unless its version was made earlier', () => {
    const floors = inForce('a', 10);
    expect(noticed(floors, notice('b', 10, 10.5), true).outcome).toBe('moved');
    expect(noticed(floors, notice('b', 10, 10), true).outcome).toBe('moved');
    expect(noticed(floors, notice('b', 10, 9), true).outcome).toBe('known');
  });

  test('that nobody trusts is a hint', () => {
    const floors = inForce('a', 0);
    expect(noticed(floors, notice('b', 10), false)).toEqual({ outcome: 'hinted', floors });
  });

  test('takes its place by the time that it says; in the same second, by when its version was made', () => {
    const floors = heard([], notice('b', 20, 5), notice('a', 10), notice('c', 20, 6));
    expect(ids(floors)).toEqual(['c', 'b', 'a']);
  });

  test('counts while it is among the newest three; the version in force is none of them', () => {
    const three = heard(inForce('z', 0), notice('a', 10), notice('b', 20), notice('c', 30));
    expect(ids(three)).toEqual(['c', 'b', 'a', 'z']);
    expect(ids(heard(three, notice('d', 40)))).toEqual(['d', 'c', 'b', 'z']);
    expect(noticed(three, notice('e', 5), true)).toEqual({ outcome: 'hinted', floors: three });
  });
});

describe('a read that shows a version in force', () => {
  test('makes it the only floor, since the second in which it was made', () => {
    expect(met(heard([], notice('b', 10)), version('c', at(12) + 345))).toEqual([
      { ...word('c', 12), createdAt: at(12) + 345, met: true },
    ]);
  });

  test('keeps the later time that a notice of it said', () => {
    const floors = noticed(heard([], notice('b', 10), notice('c', 30)), notice('b', 20), true).floors;
    expect(met(floors, version('b', at(9)))).toEqual([{ ...word('b', 10), since: at(20), met: true }]);
  });

  test('does not believe a notice that it came into force before it was made', () => {
    expect(met(heard([], notice('b', 10)), version('b', at(15)))).toEqual([
      { ...word('b', 15), createdAt: at(15), met: true },
    ]);
  });
});

describe('a round of reads without the floor', () => {
  test('counts against it, and drops it once there were as many as may be', () => {
    const floors = heard(inForce('a', 0), notice('b', 10));
    const [top, under] = floors;
    const once = missed(floors, 2);
    expect(once).toEqual({ floors: [{ ...top, rounds: 1 }, under] });
    expect(missed(once.floors, 2)).toEqual({ floors: [under], dropped: 'word' });
  });

  test('counts against the words under it too, each from when it came, and drops one a round', () => {
    const early = heard([], notice('a', 10), notice('b', 20));
    const once = missed(early, 2).floors;
    const twice = missed(heard(once, notice('c', 5)), 2);
    expect(twice.dropped).toBe('word');
    expect(twice.floors.map(({ versionId, rounds }) => [versionId, rounds])).toEqual([
      ['a', 2],
      ['c', 1],
    ]);
    expect(missed(twice.floors, 2).floors.map(({ versionId }) => versionId)).toEqual(['c']);
  });

  test('drops a version that was in force in the same way, and says that it was no mere word', () => {
    expect(missed(inForce('a', 0), 1)).toEqual({ floors: [], dropped: 'met' });
  });

  test('finds nothing to drop where there is no floor', () => {
    expect(missed([], 1)).toEqual({ floors: [] });
  });
});

test('without the words of others there is the version in force alone', () => {
  const floors = inForce('a', 0);
  expect(withoutWords(heard(floors, notice('b', 10)))).toEqual(floors);
});
