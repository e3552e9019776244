import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';

const between = '  ';

const none = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: between,
};

/** The library's time grows with the square of the rows: ten thousand in one piece took half a minute. */
const atOnce = 100;

/**
 * Columns of text without lines around them, which `grep` and `awk` can read as well as a person. Where they are wider than
 * the terminal, each row is a paragraph with a line a column, as `\x auto` has it in psql.
 *
 * @example table(['SECRET', 'AGENT'], [['agents/a/credentials', 'a']], process.stdout.columns);
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
): string {
  const all = [head, ...rows];
  const colWidths = head.map((_, column) =>
    all.reduce((widest, row) => Math.max(widest, widthOf(row[column] ?? '')), 1),
  );
  const needed = colWidths.reduce((sum, each) => sum + each + between.length, -between.length);
  if (needed > width && rows.length > 0) return paragraphs(head, rows);
  const lines: string[] = [];
  for (let from = 0; from < all.length; from += atOnce) {
    const drawn = new Table({
      chars: none,
      colWidths,
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    });
    drawn.push(...all.slice(from, from + atOnce).map((row) => [...row]));
    lines.push(...drawn.toString().split('\n'));
  }
  return lines.map((line) => line.trimEnd()).join('\n');
}

function paragraphs([, ...head]: readonly string[], rows: readonly (readonly string[])[]): string {
  const widest = Math.max(...head.map((name) => name.length), 0);
  return rows
    .map(([first = '', ...cells]) =>
      [first, ...cells.map((cell, at) => `  ${(head[at] ?? '').padEnd(widest)}  ${cell}`)].join('\n'),
    )
    .join('\n\n');
}

/** Never too little: a character outside ASCII may be drawn twice as wide. */
const widthOf = (text: string): number =>
  stripVTControlCharacters(text).replaceAll(/[^\x20-\x7e]/g, 'xx').length;
