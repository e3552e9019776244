import { describe, expect, it } from 'vitest';
import { dangersOf } from '../../../cli/rotation/dangers.ts';

const now = new Date('2026-11-24T12:00:00Z');
const hoursAgo = (hours: number) => new Date(now.getTime() - hours * 3_600_000);
/** Rotated half an hour ago, by Secrets Manager: it noted the date, and the grace period is an hour. */
const rotated: Parameters<typeof dangersOf>[0] = {
  tags: {},
  stages: { old: ['AWSPREVIOUS'], new: ['AWSCURRENT', 'AWSPENDING'] },
  createdAt: { old: hoursAgo(700), new: hoursAgo(0.6) },
  lastRotatedAt: hoursAgo(0.5),
  lastChangedAt: hoursAgo(0.5),
};
const dangers = (facts: Partial<typeof rotated>) => dangersOf({ ...rotated, ...facts }, now);
const inGrace = (left: string) => [expect.stringContaining(`in its grace period for ${left} more`)];

describe('a rotation now would hurt', () => {
  it('while the login before is in its grace period', () => {
    expect(dangers({})).toEqual(inGrace('30m'));
    expect(dangers({ tags: { 'keyturn:grace': '2h' } })).toEqual(inGrace('90m'));
    expect(dangers({ createdAt: { new: hoursAgo(2) }, lastRotatedAt: hoursAgo(1.1) })).toEqual([]);
  });

  it.each([
    ['has no date', undefined],
    ['has the date of the one before', hoursAgo(700)],
  ])('in the grace period of a rotation that a reconciler took to its end, which %s', (_, lastRotatedAt) => {
    expect(dangers({ lastRotatedAt })).toEqual(inGrace('30m'));
    expect(dangers({ lastRotatedAt, createdAt: { new: hoursAgo(3) }, lastChangedAt: hoursAgo(2) })).toEqual(
      [],
    );
  });

  it('while the grace period of the latest rotation runs, also where a change by hand came after it', () => {
    const byHand = { stages: { new: ['AWSPREVIOUS'], hand: ['AWSCURRENT'] }, lastChangedAt: hoursAgo(0.1) };
    const createdAt = { old: hoursAgo(700), new: hoursAgo(0.6), hand: hoursAgo(0.1) };
    expect(dangers({ ...byHand, createdAt })).toEqual(inGrace('30m'));
    expect(dangers({ ...byHand, createdAt, lastRotatedAt: hoursAgo(50) })).toEqual([]);
  });

  it('maybe, where the tag of the grace period can not be read', () => {
    const tags = { 'keyturn:grace': 'soon' };
    expect(dangers({ tags, lastRotatedAt: hoursAgo(500) })).toEqual([
      expect.stringContaining("Its tag keyturn:grace can't be read"),
    ]);
    expect(dangers({ tags, stages: { new: ['AWSCURRENT'] } })).toEqual([]);
  });

  it('always, where the login has no twin', () => {
    const tags = { 'keyturn:strategy': 'single-user', 'keyturn:grace': 'soon' };
    expect(dangers({ tags, lastRotatedAt: undefined })).toEqual([expect.stringContaining('no twin')]);
  });

  it('never, where the latest rotation superseded none', () => {
    expect(dangers({ stages: { new: ['AWSCURRENT', 'AWSPENDING'] } })).toEqual([]);
  });
});
