import { plain } from '../failure.ts';
import type { Output } from '../output.ts';
import type { StatusRow } from './rows.ts';

const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
] as const;

/** @example duration(7_300) // '2h' */
export function duration(seconds: number): string {
  const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= 2 * length) ?? (['s', 1] as const);
  return `${Math.floor(Math.abs(seconds) / size)}${unit}`;
}

/** How far an instant lies from now, without saying on which side. */
export const until = (instant: string, now: Date): string =>
  duration((Date.parse(instant) - now.getTime()) / 1_000);

/** As much of a version's id as tells two apart. */
export const short = (versionId: string): string => plain(versionId.slice(0, 8));

export const statusHead = (withFields: boolean): readonly string[] => [
  'SECRET',
  'AGENT',
  'AGE',
  'ROTATED',
  'NEXT',
  'VERSION',
  'ADOPTED',
  'MIRROR',
  'GRACE',
  'HEALTH',
  ...(withFields ? ['STATIC'] : []),
];

/** A row as text. `?` stands for what can't be known; the reasons are said once, by `unknownIn`. */
export function cellsOf(
  row: StatusRow,
  now: Date,
  withFields: boolean,
  colors: Output['colors'],
): readonly string[] {
  return [
    plain(row.secret),
    plain(row.agent),
    row.ageSeconds === undefined ? '?' : duration(row.ageSeconds),
    row.rotatedAt === undefined ? 'never' : `${until(row.rotatedAt, now)} ago`,
    nextCell(row, now, colors),
    row.versionId === undefined ? 'none' : short(row.versionId),
    adoptionCell(row, colors),
    mirrorCell(row, colors),
    graceCell(row, now, colors),
    healthCell(row, colors),
    ...(withFields ? [fieldsCell(row)] : []),
  ];
}

function nextCell(
  { rotationEnabled, nextRotationAt }: StatusRow,
  now: Date,
  colors: Output['colors'],
): string {
  if (!rotationEnabled) return colors.dim('off');
  if (nextRotationAt === undefined) return '?';
  const words = until(nextRotationAt, now);
  return Date.parse(nextRotationAt) < now.getTime() ? colors.red(`${words} late`) : `in ${words}`;
}

/** How many of the instances that were heard of use the current version. */
function adoptionCell({ adoption }: StatusRow, colors: Output['colors']): string {
  if (adoption.state === 'unknown') return '?';
  const { instances } = adoption;
  if (instances.length === 0) return colors.dim('-');
  const onCurrent = instances.filter(({ isCurrent }) => isCurrent).length;
  const words = `${onCurrent}/${instances.length}`;
  return onCurrent === instances.length ? words : colors.yellow(words);
}

function mirrorCell({ mirror }: StatusRow, colors: Output['colors']): string {
  if (mirror.state === 'unknown') return '?';
  if (mirror.state === 'none') return colors.dim('-');
  return mirror.state === 'current' ? mirror.state : colors.red(mirror.state);
}

function graceCell({ grace }: StatusRow, now: Date, colors: Output['colors']): string {
  if (grace.state === 'unknown') return '?';
  if (grace.state === 'none') return colors.dim('-');
  if (grace.endsAt === undefined) return 'running';
  return Date.parse(grace.endsAt) > now.getTime()
    ? `${until(grace.endsAt, now)} left`
    : colors.yellow('ending');
}

function healthCell({ health, pendingVersionId }: StatusRow, colors: Output['colors']): string {
  if (health.state === 'unknown') return '?';
  if (health.problems.length > 0)
    return colors.red(health.problems.map(({ kind }) => plain(kind)).join(', '));
  return pendingVersionId === undefined ? colors.green('well') : colors.yellow('rotating');
}

function fieldsCell({ staticFields }: StatusRow): string {
  if (staticFields.state === 'unknown') return '?';
  const { fields } = staticFields;
  return fields.length === 0
    ? '-'
    : `${fields.map(plain).join(', ')} ${fields.length === 1 ? 'is' : 'are'} static`;
}

/** Why the cells with a `?` have one, each reason once. */
export function unknownIn(rows: readonly StatusRow[], withFields: boolean): readonly string[] {
  const reasons = new Set<string>();
  for (const row of rows) {
    const columns = {
      adopted: row.adoption,
      mirror: row.mirror,
      grace: row.grace,
      health: row.health,
      ...(withFields && { static: row.staticFields }),
    };
    for (const [column, cell] of Object.entries(columns)) {
      if (cell.state === 'unknown') reasons.add(`${column}: ${'reason' in cell ? cell.reason : ''}`);
    }
  }
  return [...reasons];
}
