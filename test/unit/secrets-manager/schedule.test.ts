import { describe, expect, test } from 'vitest';
import { windowAfter } from '../../../local/secrets-manager/schedule.ts';

const thursday = new Date('2026-03-05T10:20:30Z');
const window = (ScheduleExpression: string, Duration?: string) => {
  const found = windowAfter({ ScheduleExpression, Duration }, thursday);
  return [found?.opens.toISOString().slice(0, 16), found?.closes.toISOString().slice(0, 16)];
};

describe('opens', () => {
  test.each([
    ['rate(10 days)', '2026-03-15T00:00', '2026-03-15T23:59'],
    ['rate(1 day)', '2026-03-06T00:00', '2026-03-06T23:59'],
    ['rate(4 hours)', '2026-03-05T14:00', '2026-03-05T15:00'],
    ['cron(0 8 1 * ? *)', '2026-04-01T08:00', '2026-04-01T23:59'],
    ['cron(0 /4 * * ? *)', '2026-03-05T12:00', '2026-03-05T13:00'],
    ['cron(0 2/6 * * ? *)', '2026-03-05T14:00', '2026-03-05T15:00'],
    ['cron(0 8 L * ? *)', '2026-03-31T08:00', '2026-03-31T23:59'],
    ['cron(0 9 15W * ? *)', '2026-03-16T09:00', '2026-03-16T23:59'],
    ['cron(0 16 ? * 1L *)', '2026-03-29T16:00', '2026-03-29T23:59'],
    ['cron(0 1 ? * 2#1 *)', '2026-04-06T01:00', '2026-04-06T23:59'],
    ['cron(0 6 ? * SUN,WED *)', '2026-03-08T06:00', '2026-03-08T23:59'],
    ['cron(0 8 1 1/2 ? *)', '2026-05-01T08:00', '2026-05-01T23:59'],
  ])('%s', (expression, opens, closes) => {
    expect(window(expression)).toEqual([opens, closes]);
  });

  test('AutomaticallyAfterDays as a rate, and nothing without a schedule', () => {
    expect(windowAfter({ AutomaticallyAfterDays: 2 }, thursday)?.opens).toEqual(
      new Date('2026-03-07T00:00:00Z'),
    );
    expect(windowAfter({}, thursday)).toBeUndefined();
  });

  test('for as long as Duration says', () => {
    expect(window('rate(10 days)', '3h')).toEqual(['2026-03-15T00:00', '2026-03-15T03:00']);
  });
});

describe('refuses', () => {
  test.each([
    'rate(3 hours)',
    'rate(0 days)',
    'rate(10 minutes)',
    'cron(0 0/2 * * ? *)',
    'cron(30 8 1 * ? *)',
    'cron(0 8 1 * ? 2027)',
    'cron(0 8 1 * 2 *)',
    'cron(0 8 ? * ? *)',
    'cron(0 8 1 *)',
    'cron(0 99 1 * ? *)',
    '0 8 1 * *',
  ])('%s', (expression) => {
    expect(() => window(expression)).toThrow(expect.objectContaining({ code: 'InvalidParameterException' }));
  });

  test.each(['0h', '25h'])('a Duration of %s', (duration) => {
    expect(() => window('rate(10 days)', duration)).toThrow('Duration');
  });

  test('a window that reaches the next, and two schedules at once', () => {
    expect(() => window('rate(4 hours)', '5h')).toThrow('Duration');
    const both = { ScheduleExpression: 'rate(4 days)', AutomaticallyAfterDays: 4 };
    expect(() => windowAfter(both, thursday)).toThrow('not both');
  });
});
