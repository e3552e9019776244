import { Cron } from 'croner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { windowAfter } from '../../../local/secrets-manager/schedule.ts';
import { scheduleOf } from '../../../shared/provisioning/schedule.ts';

const day = 86_400_000;
const everyHour = { fromHour: 0, hours: 24 };

/** Its next rotations, the days of a leap year among them: croner counts weekdays as Secrets Manager does when told to. */
function rotations({ ScheduleExpression, Duration }: ReturnType<typeof scheduleOf>): readonly Date[] {
  expect(windowAfter({ ScheduleExpression, Duration }, new Date('2027-01-01T00:00:00Z'))).toBeDefined();
  const [, fields = ''] = /^cron\(0 (.*) \*\)$/.exec(ScheduleExpression) ?? [];
  const pattern = `0 0 ${fields.replace('?', '*').replace(/ (\d+)\/(\d+) /, ' $1-12/$2 ')}`;
  const cron = new Cron(pattern, { timezone: 'UTC', paused: true, alternativeWeekdays: true });
  return cron.nextRuns(fields.includes('/12') ? 3 : 30, new Date('2027-07-01T00:00:00Z'));
}
const gaps = (dates: readonly Date[]) =>
  dates.slice(1).map((date, index) => (date.getTime() - (dates[index]?.getTime() ?? 0)) / day);

describe('a schedule', () => {
  it('is never longer than declared by more than a day for each thirty, and Secrets Manager takes it', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.integer({ min: 1, max: 1000 }), (name, rotationDays) => {
        const dates = rotations(scheduleOf(name, { rotationDays, rotationWindow: everyHour }));
        const longest = Math.max(...gaps(dates));
        expect(longest).toBeLessThanOrEqual(rotationDays + Math.floor(rotationDays / 30));
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    [1, 1],
    [7, 7],
    [30, 31],
    [60, 62],
    [90, 92],
    [365, 366],
  ])('of %i days is as wide as a calendar allows', (rotationDays, widest) => {
    const dates = rotations(scheduleOf('agents/a/credentials', { rotationDays, rotationWindow: everyHour }));
    expect(Math.max(...gaps(dates))).toBeGreaterThanOrEqual(Math.min(widest, 365));
  });

  it('stays in its window, past midnight too', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.integer({ min: 0, max: 23 }),
        fc.integer({ min: 1, max: 24 }),
        (name, fromHour, hours) => {
          const rules = scheduleOf(name, { rotationDays: 7, rotationWindow: { fromHour, hours } });
          const opens = windowAfter(rules, new Date('2027-01-01T00:00:00Z'))?.opens;
          expect(((opens?.getUTCHours() ?? 0) - fromHour + 24) % 24).toBeLessThan(hours);
        },
      ),
      { numRuns: 20 },
    );
  });

  it('is the same each time, and no two thousand of a fleet rotate together', () => {
    const declared = { rotationDays: 30, rotationWindow: everyHour };
    const names = Array.from({ length: 2_000 }, (_, index) => `agents/agent-${index}/credentials`);
    const schedules = names.map((name) => scheduleOf(name, declared).ScheduleExpression);
    expect(names.map((name) => scheduleOf(name, declared).ScheduleExpression)).toEqual(schedules);
    const counts = new Map<string, number>();
    for (const schedule of schedules) counts.set(schedule, (counts.get(schedule) ?? 0) + 1);
    // 28 days of 24 hours: 3 in each hour on average.
    expect(counts.size).toBeGreaterThan(600);
    expect(Math.max(...counts.values())).toBeLessThan(15);
  });
});
