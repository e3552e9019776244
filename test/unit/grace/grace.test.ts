import { expect, it } from 'vitest';
import { graceEnd, knownGraceEnd, supersededSince } from '../../../shared/grace/grace.ts';

const at = (time: string) => new Date(`2026-11-24T${time}:00Z`);

it('ends as long after as the tag says, an hour where there is none', () => {
  expect(graceEnd(at('09:00'), { 'keyturn:grace': '15m' })).toEqual(at('09:15'));
  expect(graceEnd(at('09:00'), {})).toEqual(at('10:00'));
});

it('has no end where the tag can not be read, and says which tag that is', () => {
  const tags = { 'keyturn:grace': 'soon' };
  expect(() => graceEnd(at('09:00'), tags)).toThrow('Tag keyturn:grace');
  expect(knownGraceEnd(at('09:00'), tags)).toEqual({ unreadableTag: 'keyturn:grace' });
  expect(knownGraceEnd(at('09:00'), {})).toEqual({ endsAt: at('10:00') });
});

it('counts from the latest rotation that has a date, else from the latest change', () => {
  expect(supersededSince({ lastRotatedAt: at('09:00'), lastChangedAt: at('11:00') })).toEqual(at('09:00'));
  expect(supersededSince({ lastRotatedAt: undefined, lastChangedAt: at('11:00') })).toEqual(at('11:00'));
});
