import fc from 'fast-check';
import { expect, test } from 'vitest';
import { changeOf, type LabelFacts } from '../../../shared/labels/change.ts';
import { graceMsOf, SecretTagError } from '../../../shared/labels/tags.ts';

const at = (minute: number): Date => new Date(Date.UTC(2026, 10, 24, 9, minute));

test.each([
  [{}, 3_600_000],
  [{ 'keyturn:grace': '1h' }, 3_600_000],
  [{ 'keyturn:grace': '15m' }, 900_000],
  [{ 'keyturn:grace': '30s' }, 30_000],
  [{ 'keyturn:grace': '2d' }, 172_800_000],
  [{ 'keyturn:grace': '0s' }, 0],
])('the tags %j give a grace of %d ms', (tags, ms) => {
  expect(graceMsOf(tags)).toBe(ms);
});

test('any text is either a grace between nothing and 90 days, or an error that names the tag and not the text', () => {
  const text = fc.oneof(
    fc.string(),
    fc.tuple(fc.nat(), fc.constantFrom('s', 'm', 'h', 'd', 'w', '')).map(([n, u]) => `${n}${u}`),
  );
  fc.assert(
    fc.property(text, (value) => {
      try {
        const ms = graceMsOf({ 'keyturn:grace': value });
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThanOrEqual(90 * 86_400_000);
        expect(value).toMatch(/^\d+[smhd]$/);
      } catch (error) {
        if (!(error instanceof SecretTagError)) throw error;
        expect(error.message).toBe(
          'Tag keyturn:grace: expected a whole number and one of s, m, h, d, at most 90d, such as 1h',
        );
      }
    }),
  );
});

test('a rotation whose AWSPENDING was taken off is still one, by its date', () => {
  const facts = { stages: { b: ['AWSCURRENT'], a: ['AWSPREVIOUS'] }, createdAt: { a: at(0), b: at(5) } };
  expect(changeOf('b', { ...facts, lastRotatedAt: at(6) })).toEqual({
    kind: 'rotated',
    currentVersionId: 'b',
    currentCreatedAt: at(5),
    supersededVersionId: 'a',
  });
  expect(changeOf('b', { ...facts, lastRotatedAt: at(4) }).kind).toBe('changed');
  expect(changeOf('b', { ...facts, lastRotatedAt: undefined }).kind).toBe('changed');
});

test('a rollback after a rotation is a change, though versions since have lost their labels', () => {
  const stages = { b: ['AWSCURRENT'], a: ['AWSPREVIOUS'] };
  expect(
    changeOf('b', { stages, createdAt: { a: at(0), b: at(5), c: at(7) }, lastRotatedAt: at(8) }).kind,
  ).toBe('changed');
});

test('a rotation is one, though the next has begun by the time that its event is read', () => {
  const stages = { b: ['AWSCURRENT'], a: ['AWSPREVIOUS'], c: ['AWSPENDING'] };
  const facts = { stages, createdAt: { a: at(0), b: at(5), c: at(7) } };
  expect(changeOf('b', { ...facts, lastRotatedAt: at(8) })).toMatchObject({
    kind: 'rotated',
    supersededVersionId: 'a',
  });
  // Not so a rollback from a version that is still pending by name.
  const rolledBack = { b: ['AWSCURRENT'], c: ['AWSPREVIOUS', 'AWSPENDING'] };
  expect(changeOf('b', { ...facts, stages: rolledBack, lastRotatedAt: at(8) }).kind).toBe('changed');
});

test('a version that the listing shows and Describe does not know yet is no old one: the event comes again', () => {
  const stages = { a: ['AWSCURRENT'] };
  const facts = { stages, createdAt: { a: at(0), b: at(5) }, lastRotatedAt: undefined };
  expect(changeOf('b', { ...facts, listedInUse: new Set(['a', 'b']) }).kind).toBe('unseen');
});

test.each([
  ['AWSPREVIOUS', { a: ['AWSCURRENT'], b: ['AWSPREVIOUS'] }],
  ['no label', { a: ['AWSCURRENT'] }],
])(
  'a version with %s is an old one where the secret is seen to have changed since the event, and else a read that lags',
  (_, stages) => {
    const facts = {
      stages,
      createdAt: { a: at(0), b: at(5) },
      lastRotatedAt: undefined,
      listedInUse: new Set<string>(),
    };
    expect(changeOf('b', { ...facts, lastChangedAt: at(8) }, at(7)).kind).toBe('stale');
    expect(changeOf('b', { ...facts, lastChangedAt: at(6) }, at(7)).kind).toBe('unseen');
    expect(changeOf('b', facts, at(7)).kind).toBe('unseen');
  },
);

test('version ids that are names of Object’s own do not confuse it', () => {
  expect(changeOf('constructor', { stages: {}, createdAt: {}, lastRotatedAt: undefined }).kind).toBe(
    'unseen',
  );
});

const ids = ['a', 'b', 'c', 'd'];
const date = fc.integer({ min: 0, max: 59 }).map(at);
const facts: fc.Arbitrary<LabelFacts> = fc
  .record({
    created: fc.tuple(date, date, date, date),
    current: fc.constantFrom(...ids),
    previous: fc.option(fc.constantFrom(...ids)),
    pending: fc.option(fc.constantFrom(...ids)),
    lastRotatedAt: fc.option(date, { nil: undefined }),
  })
  .map(({ created, current, previous, pending, lastRotatedAt }) => {
    const stages: Record<string, string[]> = { [current]: ['AWSCURRENT'] };
    const put = (id: string | null, label: string): void => {
      if (id !== null) stages[id] = [...(stages[id] ?? []), label];
    };
    if (previous !== current) put(previous, 'AWSPREVIOUS');
    put(pending, 'AWSPENDING');
    return {
      stages,
      createdAt: Object.fromEntries(ids.map((id, n) => [id, created[n] ?? at(0)])),
      lastRotatedAt,
    };
  });

test('only the version that is AWSCURRENT has moved, and it never supersedes itself', () => {
  fc.assert(
    fc.property(facts, fc.constantFrom(...ids, 'unknown'), (secret, id) => {
      const change = changeOf(id, secret);
      const isCurrent = secret.stages[id]?.includes('AWSCURRENT') ?? false;
      expect(change.kind === 'rotated' || change.kind === 'changed').toBe(isCurrent);
      if (change.kind === 'rotated' || change.kind === 'changed')
        expect(change.supersededVersionId).not.toBe(id);
    }),
  );
});

test('a version older than another that may have been in force is a rotation only where AWSPENDING says so', () => {
  fc.assert(
    fc.property(facts, (secret) => {
      const current = ids.find((id) => secret.stages[id]?.includes('AWSCURRENT')) ?? '';
      const created = secret.createdAt[current] ?? at(0);
      const isNext = (id: string) => secret.stages[id]?.join() === 'AWSPENDING';
      fc.pre(Object.entries(secret.createdAt).some(([id, other]) => other > created && !isNext(id)));
      fc.pre(!secret.stages[current]?.includes('AWSPENDING'));
      expect(changeOf(current, secret).kind).toBe('changed');
    }),
  );
});
