import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FleetSecret } from '../../../shared/fleet/secrets.ts';
import { incompleteVersion } from '../../../shared/labels/stages.ts';
import { graceOf, isRotationOff, overdueSince, windowMs } from '../../../shared/reconciliation/suspicions.ts';

const hourMs = 3_600_000;
const start = Date.UTC(2026, 0, 1);
const at = (hours: number) => new Date(start + hours * hourMs);

const secret = (facts: Partial<FleetSecret> = {}): FleetSecret => ({
  arn: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/a/credentials-a1B2c3',
  name: 'agents/a/credentials',
  agentId: 'a',
  tags: { managed_by: 'agent-platform', agent_id: 'a' },
  stages: { new: ['AWSCURRENT', 'AWSPENDING'], old: ['AWSPREVIOUS'] },
  rotationEnabled: true,
  createdAt: at(-2_000),
  lastRotatedAt: at(-700),
  nextRotationAt: at(20),
  everyDays: 30,
  schedule: undefined,
  duration: undefined,
  isScheduledForDeletion: false,
  ...facts,
});

describe('a rotation is overdue', () => {
  it('an hour after the latest time at which its schedule rotates it', () => {
    expect(overdueSince(secret(), at(21))).toBeUndefined();
    expect(overdueSince(secret(), at(21.1))).toEqual(at(20));
  });

  it('by its rule, where Secrets Manager tells no date', () => {
    const untold = secret({ nextRotationAt: undefined, lastRotatedAt: at(-30 * 24) });
    expect(overdueSince(untold, at(24))).toBeUndefined();
    expect(overdueSince(untold, at(26))).toEqual(at(24));
  });

  it.each([
    ['where rotation is off', { rotationEnabled: false }],
    ['where one has begun', { stages: { new: ['AWSCURRENT'], next: ['AWSPENDING'] } }],
    ['where there is nothing to rotate', { stages: {} }],
    ['where it has neither date nor rule', { nextRotationAt: undefined, everyDays: undefined }],
  ])('never %s', (_, facts) => {
    expect(overdueSince(secret(facts), at(100_000))).toBeUndefined();
  });

  it('no earlier than a window of it that may just have opened', () => {
    const window = (rules: Partial<FleetSecret>) => windowMs(secret({ everyDays: undefined, ...rules }));
    expect(window({ everyDays: 30 })).toBe(24 * hourMs);
    expect(window({ everyDays: 1 })).toBe(12 * hourMs);
    expect(window({ schedule: 'rate(4 hours)' })).toBe(2 * hourMs);
    expect(window({ schedule: 'cron(0 4 1 * ? *)' })).toBe(24 * hourMs);
    expect(window({ schedule: 'cron(0 4 1 * ? *)', duration: '3h' })).toBe(3 * hourMs);
  });
});

describe('a grace period', () => {
  it('runs, and then is over', () => {
    const rotated = secret({ lastRotatedAt: at(0), tags: { 'keyturn:grace': '2h' } });
    const versions = { supersededVersionId: 'old', currentVersionId: 'new' };
    expect(graceOf(rotated, at(0.1))).toBeUndefined();
    expect(graceOf(rotated, at(1))).toEqual({ kind: 'running', ...versions });
    expect(graceOf(rotated, at(2))).toEqual({ kind: 'over', ...versions });
  });

  it('of a first rotation that has no date runs from the latest change', () => {
    const undated = secret({
      lastRotatedAt: undefined,
      lastChangedAt: at(0),
      tags: { 'keyturn:grace': '2h' },
    });
    const versions = { supersededVersionId: 'old', currentVersionId: 'new' };
    expect(graceOf(undated, at(1))).toEqual({ kind: 'running', ...versions });
    expect(graceOf(undated, at(2))).toEqual({ kind: 'over', ...versions });
  });

  it('of which the tag can not be read is told by the name of the tag', () => {
    const unreadable = secret({ tags: { 'keyturn:grace': 'soon' } });
    expect(graceOf(unreadable, at(0))).toEqual({ kind: 'unreadable', tag: 'keyturn:grace' });
  });
});

it('a secret that was made within the hour is not yet one that nobody rotates', () => {
  const off = secret({ rotationEnabled: false, createdAt: at(0) });
  expect(isRotationOff(off, at(1))).toBe(false);
  expect(isRotationOff(off, at(1.1))).toBe(true);
  expect(isRotationOff(secret(), at(1_000))).toBe(false);
});

describe('whatever Secrets Manager says of a secret', () => {
  const label = fc.constantFrom('AWSCURRENT', 'AWSPENDING', 'AWSPREVIOUS', 'custom');
  const date = fc.option(
    fc.integer({ min: -2_000, max: 2_000 }).map((hours) => at(hours)),
    { nil: undefined },
  );
  const anySecret = fc
    .record({
      // Each label is on one version.
      carriers: fc.dictionary(label, fc.constantFrom('one', 'two', 'three', '__proto__x')),
      rotationEnabled: fc.boolean(),
      createdAt: date,
      lastRotatedAt: date,
      nextRotationAt: date,
      everyDays: fc.option(fc.integer({ min: 1, max: 1_000 }), { nil: undefined }),
      grace: fc.constantFrom('1h', '90d', '0s', 'nonsense'),
    })
    .map(({ carriers, grace, ...facts }) => {
      const byVersion = Object.groupBy(Object.keys(carriers), (name) => carriers[name] ?? '');
      const stages = Object.fromEntries(
        Object.entries(byVersion).map(([versionId, names = []]) => [versionId, names]),
      );
      return secret({ ...facts, stages, tags: { 'keyturn:grace': grace } });
    });
  const now = fc.integer({ min: -2_000, max: 2_000 }).map((hours) => at(hours));

  it('it is not both overdue and stuck, and neither where rotation is off', () => {
    fc.assert(
      fc.property(anySecret, now, (one, time) => {
        const due = overdueSince(one, time);
        if (due === undefined) return;
        expect(due.getTime()).toBeLessThan(time.getTime());
        expect(incompleteVersion(one)).toBeUndefined();
        expect(isRotationOff(one, time)).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  it('once overdue, or once its grace is over, it stays so until something is done', () => {
    fc.assert(
      fc.property(anySecret, now, fc.integer({ min: 0, max: 5_000 }), (one, time, hours) => {
        const later = new Date(time.getTime() + hours * hourMs);
        if (overdueSince(one, time)) expect(overdueSince(one, later)).toEqual(overdueSince(one, time));
        if (graceOf(one, time)?.kind === 'over') expect(graceOf(one, later)).toEqual(graceOf(one, time));
      }),
      { numRuns: 2_000 },
    );
  });

  it('what is stuck or superseded is never its AWSCURRENT', () => {
    fc.assert(
      fc.property(anySecret, now, (one, time) => {
        const stuck = incompleteVersion(one);
        if (stuck !== undefined) expect(one.stages[stuck]).not.toContain('AWSCURRENT');
        const grace = graceOf(one, time);
        if (grace && grace.kind !== 'unreadable')
          expect(one.stages[grace.currentVersionId]).toContain('AWSCURRENT');
      }),
      { numRuns: 2_000 },
    );
  });
});
