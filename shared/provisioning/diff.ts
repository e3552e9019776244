export type Fields = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** Undefined where two texts say the same, whatever their white space at the ends of lines. */
export function textDiff(is: string | undefined, wanted: string): readonly string[] | undefined {
  const [before, after] = [linesOf(is ?? ''), linesOf(wanted)];
  if (before.join('\n') === after.join('\n')) return undefined;
  return [
    ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
    ...after.map((line) => `${before.includes(line) ? '  ' : '+ '}${line}`),
  ];
}

const linesOf = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');

/**
 * Undefined where each field that is wanted is so. One that the other side doesn't know counts as empty, and what it has besides
 * is its own affair.
 */
export function fieldsDiff(
  is: Readonly<Record<string, unknown>> | undefined,
  wanted: Fields,
): readonly string[] | undefined {
  const lines = Object.entries(wanted).flatMap(([field, value]) => {
    const found = is?.[field];
    if (JSON.stringify(found) === JSON.stringify(value)) return [];
    if (is && (found ?? undefined) === undefined && isEmpty(value)) return [];
    return [
      ...(found === undefined ? [] : [`- ${field}: ${JSON.stringify(found)}`]),
      `+ ${field}: ${JSON.stringify(value)}`,
    ];
  });
  return lines.length === 0 ? undefined : lines;
}

const isEmpty = (value: Fields[string]) =>
  value === '' || value === 0 || value === false || (Array.isArray(value) && value.length === 0);
