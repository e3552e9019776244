import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from '../../local/root.ts';

export const pages: readonly string[] = globSync(join(root, 'docs/runbook/*.md'))
  .map((file) => basename(file, '.md'))
  .toSorted();

/** The command lines of a page, block by block: what stands between two blocks is for a person to do. */
export function blocksOf(page: string): readonly (readonly string[])[] {
  const text = readFileSync(join(root, `docs/runbook/${page}.md`), 'utf8');
  const blocks = [...text.matchAll(/(?:^ {4}\S.*\n)+/gm)].map(([block]) =>
    block
      .trimEnd()
      .split('\n')
      .map((line) => line.trim()),
  );
  if (blocks.length === 0) throw new Error(`The page ${page} says no command`);
  return blocks;
}

/** What a page has to do for a message: the second cell of each row of its tables whose first cell quotes the message. */
export function rowsFor(page: string, message: string): readonly string[] {
  const text = readFileSync(join(root, `docs/runbook/${page}.md`), 'utf8');
  return [...text.matchAll(/^\| (.+?) \| (.+?) \|$/gm)].flatMap(([, says = '', todo = '']) => {
    const quotes = [...says.matchAll(/`([^`]+)`/g)].map(([, quote = '']) => quote);
    return quotes.some((quote) => isQuoted(quote, message)) ? [todo.trim()] : [];
  });
}

/** A page leaves out of a message what differs from case to case. */
function isQuoted(quote: string, message: string): boolean {
  const literal = quote.replaceAll(/[^\w\s…]/g, '\\$&');
  return new RegExp(`^${literal.replaceAll('…', '.+')}$`).test(message);
}

/** All of a page's command lines. */
export const commandsOf = (page: string): readonly string[] => blocksOf(page).flat();
