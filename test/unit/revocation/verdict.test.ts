import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verdictOf } from '../../../functions/revoke-superseded/superseded.ts';

const hourMs = 3_600_000;
const at = (minutes: number) => new Date(Date.UTC(2026, 0, 1) + minutes * 60_000);
/** One rotation: `old` was superseded by `now` a minute after `now` was made. */
const facts = {
  stages: { now: ['AWSCURRENT', 'AWSPENDING'], old: ['AWSPREVIOUS'] },
  createdAt: { older: at(-100), old: at(-50), now: at(0) },
  lastRotatedAt: at(1),
};
const asked = { supersededVersionId: 'old', currentVersionId: 'now' };

describe('the end of a grace period', () => {
  it('is due when the period has passed, and names all that is superseded', () => {
    expect(verdictOf(asked, facts, hourMs, at(62))).toEqual({
      kind: 'due',
      supersededVersionIds: new Set(['older', 'old']),
      currentCreatedAt: facts.createdAt.now,
      keptVersionIds: ['now'],
    });
  });

  it('is due as well for a version that has no label any more', () => {
    const verdict = verdictOf({ ...asked, supersededVersionId: 'older' }, facts, hourMs, at(62));
    expect(verdict.kind).toBe('due');
  });

  it('of a version before, which comes a rotation late, spares the one that is in grace by now', () => {
    const late = { supersededVersionId: 'older', currentVersionId: 'old' };
    for (const minutes of [30, 60.5, 60.99]) {
      expect(verdictOf(late, facts, hourMs, at(minutes)), `${minutes}`).toMatchObject({
        kind: 'due',
        supersededVersionIds: new Set(['older']),
        keptVersionIds: ['now', 'old'],
      });
    }
    expect(verdictOf(late, facts, hourMs, at(62))).toMatchObject({
      supersededVersionIds: new Set(['older', 'old']),
    });
  });

  it('is not brought forward by a call that names another successor', () => {
    const createdAt = { ...facts.createdAt, abandoned: at(-20) };
    const forged = { supersededVersionId: 'old', currentVersionId: 'abandoned' };
    const verdict = verdictOf(forged, { ...facts, createdAt }, 15 * 60_000, at(10));
    expect(verdict.kind).toBe('in grace');
  });

  it('is not due a minute after a rotation that took long to succeed', () => {
    const late = { ...facts, lastRotatedAt: at(600) };
    expect(verdictOf(asked, late, hourMs, at(602)).kind).toBe('in grace');
    expect(verdictOf(asked, late, hourMs, at(661)).kind).toBe('due');
  });

  it('keeps a version that a rotation began a moment ago, and that only the listing shows', () => {
    const createdAt = { ...facts.createdAt, next: at(62) };
    const verdict = verdictOf(
      asked,
      { ...facts, createdAt, listedInUse: new Set(['now', 'next']) },
      hourMs,
      at(62),
    );
    expect(verdict).toMatchObject({ kind: 'due', supersededVersionIds: new Set(['older', 'old']) });
  });

  it('is looked at again where the listing still shows the version in use', () => {
    expect(verdictOf(asked, { ...facts, listedInUse: new Set(['old']) }, hourMs, at(62)).kind).toBe(
      'in grace',
    );
  });

  it('is not due before grace has passed since somebody else took the rotation to its end, which no date notes', () => {
    const stuck = { ...facts, lastRotatedAt: at(-200), lastChangedAt: at(600) };
    expect(verdictOf(asked, stuck, hourMs, at(630)).kind).toBe('in grace');
    expect(verdictOf(asked, stuck, hourMs, at(661)).kind).toBe('due');
  });

  it.each([
    ['the current version', { supersededVersionId: 'now', currentVersionId: 'old' }],
    ['the version itself', { supersededVersionId: 'old', currentVersionId: 'old' }],
    ['a version that is not there', { supersededVersionId: 'gone', currentVersionId: 'now' }],
    ['a successor that is not there', { supersededVersionId: 'old', currentVersionId: 'gone' }],
    ['a name from the prototype', { supersededVersionId: 'constructor', currentVersionId: 'now' }],
  ])('never is one of %s', (_, forged) => {
    expect(verdictOf(forged, facts, hourMs, at(1_000_000)).kind).toBe('not superseded');
  });

  it('never is one of a version that was rolled back to', () => {
    const rolledBack = { ...facts, stages: { now: ['AWSPREVIOUS'], old: ['AWSCURRENT'] } };
    expect(verdictOf(asked, rolledBack, hourMs, at(1_000)).kind).toBe('not superseded');
  });

  it('whatever is asked, at whatever time: what is AWSCURRENT or AWSPENDING is kept', () => {
    const ids = ['a', 'b', 'c', 'd'] as const;
    const label = fc.constantFrom('AWSCURRENT', 'AWSPENDING', 'AWSPREVIOUS', 'custom');
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...ids), fc.array(label)),
        fc.dictionary(fc.constantFrom(...ids), fc.integer({ min: -500, max: 500 })),
        fc.constantFrom(...ids),
        fc.constantFrom(...ids),
        fc.integer({ min: -1_000, max: 1_000 }),
        (stages, minutes, supersededVersionId, currentVersionId, now) => {
          const createdAt = Object.fromEntries(
            Object.entries(minutes).map(([id, minute]) => [id, at(minute)]),
          );
          const verdict = verdictOf(
            { supersededVersionId, currentVersionId },
            { stages, createdAt, lastRotatedAt: undefined },
            hourMs,
            at(now),
          );
          if (verdict.kind !== 'due') return;
          for (const id of [supersededVersionId, ...verdict.supersededVersionIds]) {
            expect(stages[id] ?? []).not.toContain('AWSCURRENT');
            expect(stages[id] ?? []).not.toContain('AWSPENDING');
          }
          const successor = createdAt[currentVersionId]?.getTime() ?? Number.NaN;
          expect(at(now).getTime() + 2_000).toBeGreaterThanOrEqual(successor + hourMs);
        },
      ),
    );
  });
});
