/** Rotation schedules as Secrets Manager reads them: rate(), cron() in UTC, AutomaticallyAfterDays, and windows. */
import { Cron } from 'croner';
import { invalidParameter } from './errors.ts';
import type { RotationRules } from './secrets.ts';

/** When a rotation may run. AWS picks an instant within the window; here it is always the one that opens it. */
export type Window = { readonly opens: Date; readonly closes: Date };

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const SHORTEST_INTERVAL = 4 * HOUR;

type Schedule = {
  /** The first opening strictly after an instant; none where a cron expression has no further match. */
  readonly opensAfter: (instant: Date) => Date | undefined;
  readonly interval: number;
  readonly duration: number | undefined;
};

/**
 * The first window after an instant, or none without a schedule. Rates count from the last rotation: days from the
 * UTC midnight of the day, hours from the full hour. Invalid rules are refused as RotateSecret refuses them.
 */
export function windowAfter(rules: RotationRules, instant: Date): Window | undefined {
  const schedule = scheduleOf(rules);
  const opens = schedule?.opensAfter(instant);
  if (!schedule || !opens) return undefined;
  return { opens, closes: closing(schedule, opens) };
}

/** Where no Duration is set the window closes after an hour for a schedule in hours, else at the end of the UTC day. */
function closing({ interval, duration }: Schedule, opens: Date): Date {
  if (duration !== undefined) return new Date(opens.getTime() + duration);
  if (interval < DAY) return new Date(opens.getTime() + HOUR);
  return new Date(truncated(opens.getTime(), DAY) + DAY - 1000);
}

function scheduleOf({
  AutomaticallyAfterDays: days,
  ScheduleExpression: expression,
  Duration,
}: RotationRules) {
  if (days !== undefined && expression !== undefined) {
    throw invalidParameter(
      'You can specify either AutomaticallyAfterDays or ScheduleExpression, but not both.',
    );
  }
  if (days === undefined && expression === undefined) return undefined;
  const duration = Duration === undefined ? undefined : Number.parseInt(Duration, 10) * HOUR;
  const schedule = days === undefined ? parsed(expression ?? '') : everyDays(days);
  if (schedule.interval < SHORTEST_INTERVAL) {
    throw invalidParameter('The rotation schedule is too frequent: rotate at most every 4 hours.');
  }
  if (duration !== undefined && (duration < HOUR || duration > schedule.interval || duration > DAY)) {
    throw invalidParameter(
      'The Duration of a rotation window is at least 1h and must not reach the next rotation window.',
    );
  }
  return { ...schedule, duration };
}

function parsed(expression: string): Omit<Schedule, 'duration'> {
  const rate = /^rate\(([1-9]\d{0,2}) (hour|hours|day|days)\)$/.exec(expression);
  if (rate) {
    const count = Number(rate[1]);
    return rate[2]?.startsWith('day') ? everyDays(count) : everyHours(count);
  }
  const cron = /^cron\((.+)\)$/.exec(expression)?.[1];
  if (cron === undefined) throw invalidExpression(expression);
  return cronSchedule(cron, expression);
}

const everyDays = (count: number) => ({
  interval: count * DAY,
  opensAfter: (instant: Date) => new Date(truncated(instant.getTime() + count * DAY, DAY)),
});

const everyHours = (count: number) => ({
  interval: count * HOUR,
  opensAfter: (instant: Date) => new Date(truncated(instant.getTime() + count * HOUR, HOUR)),
});

/** Six fields: minutes hours day-of-month month day-of-week year. Minutes must be 0, and one of the days `?`. */
function cronSchedule(fields: string, expression: string): Omit<Schedule, 'duration'> {
  const [minutes, hours, dayOfMonth, month, dayOfWeek, year, ...more] = fields.trim().split(/\s+/);
  if (minutes !== '0' || year !== '*' || more.length > 0 || !hours || !dayOfMonth || !month || !dayOfWeek) {
    throw invalidExpression(expression);
  }
  if ((dayOfMonth === '?') === (dayOfWeek === '?')) throw invalidExpression(expression);
  const days = `${spelledOut(dayOfMonth, 31)} ${spelledOut(month, 12)} ${spelledOut(dayOfWeek, 7)}`;
  const cron = parsedCron(`0 0 ${spelledOut(hours, 23)} ${days}`, expression);
  const opensAfter = (instant: Date) => cron.nextRun(instant) ?? undefined;
  const runs = cron.nextRuns(50, new Date(0)).map((run) => run.getTime());
  const gaps = runs.slice(1).map((run, index) => run - (runs[index] ?? run));
  return { opensAfter, interval: Math.min(...gaps, 366 * DAY) };
}

/** AWS counts weekdays from 1 for Sunday, which croner calls alternative. */
function parsedCron(pattern: string, expression: string): Cron {
  try {
    return new Cron(pattern, { timezone: 'UTC', paused: true, alternativeWeekdays: true });
  } catch (error) {
    throw invalidExpression(expression, error);
  }
}

/** AWS takes `/4` and `0/4` for "from the start, every fourth"; croner wants the whole range spelled out. */
const spelledOut = (field: string, last: number) =>
  field
    .replace('?', '*')
    .replace(/^\//, '*/')
    .replace(/^(\d+)\//, `$1-${last}/`);

const truncated = (milliseconds: number, unit: number) => Math.floor(milliseconds / unit) * unit;

function invalidExpression(expression: string, cause?: unknown) {
  const error = invalidParameter(`The ScheduleExpression is not valid: ${expression}`);
  if (cause !== undefined) error.cause = cause;
  return error;
}
