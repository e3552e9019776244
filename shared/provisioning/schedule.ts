import { createHash } from 'node:crypto';
import type { Declaration } from './declaration.ts';

/** Rotation rules as RotateSecret takes them. */
export interface Schedule {
  readonly ScheduleExpression: string;
  readonly Duration: string;
}

/**
 * Days on which a calendar can be told to rotate, as fields of a cron expression: day of month, month, day of week. Each has
 * `phases` places to begin at, and at most `gap` days between two rotations whatever the months.
 */
interface Cycle {
  readonly gap: number;
  readonly phases: number;
  readonly days: (phase: number) => string;
}

const weekly = (gap: number, offsets: readonly number[]): Cycle => ({
  gap,
  phases: 7,
  days: (phase) => `? * ${offsets.map((offset) => ((phase + offset) % 7) + 1).join(',')}`,
});
const monthly = (gap: number, offsets: readonly number[]): Cycle => ({
  gap,
  // The 28th is in every month.
  phases: 28 - Math.max(...offsets),
  days: (phase) => `${offsets.map((offset) => phase + offset + 1).join(',')} * ?`,
});
const everyMonths = (gap: number, months: number): Cycle => ({
  gap,
  phases: 28 * months,
  days: (phase) => `${(phase % 28) + 1} ${Math.floor(phase / 28) + 1}/${months} ?`,
});

const cycles: readonly Cycle[] = [
  { gap: 1, phases: 1, days: () => '* * ?' },
  weekly(2, [0, 2, 4, 6]),
  weekly(3, [0, 2, 4]),
  weekly(4, [0, 3]),
  weekly(7, [0]),
  monthly(11, [0, 10, 20]),
  monthly(16, [0, 15]),
  monthly(31, [0]),
  everyMonths(62, 2),
  everyMonths(92, 3),
  everyMonths(123, 4),
  everyMonths(184, 6),
  everyMonths(366, 12),
];

/**
 * When a secret rotates: on days and in an hour of its own, which the hash of its name picks, so that a fleet that was made in
 * one minute never rotates in one. Secrets Manager's cron knows no minutes; within the hour it picks a moment itself.
 *
 * A rate would begin at midnight for all, and would count from the last rotation. A calendar has no "every 30 days": the interval
 * is the longest that is not more than a day per thirty longer than declared.
 *
 * @example
 * scheduleOf('agents/billing/credentials', { rotationDays: 30, rotationWindow: { fromHour: 22, hours: 4 } });
 */
export function scheduleOf(
  secretName: string,
  { rotationDays, rotationWindow }: Pick<Declaration, 'rotationDays' | 'rotationWindow'>,
): Schedule {
  const longest = rotationDays + Math.floor(rotationDays / 30);
  const { phases, days } = cycles.findLast(({ gap }) => gap <= longest) ?? cycles[0] ?? never();
  const hash = createHash('sha256').update(secretName).digest();
  const hour = (rotationWindow.fromHour + (hash.readUInt32BE(0) % rotationWindow.hours)) % 24;
  return { ScheduleExpression: `cron(0 ${hour} ${days(hash.readUInt32BE(4) % phases)} *)`, Duration: '1h' };
}

function never(): never {
  throw new RangeError('There is a cycle for each day');
}
