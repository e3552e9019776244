import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { Line } from '../report/report.ts';

const written = z.array(z.object({ part: z.string(), what: z.string(), run: z.number(), held: z.number() }));

/**
 * What the crash matrix wrote into a folder. Its cases count, each a call and a moment, not the tests that run them; a test that
 * failed counts beside its cases: it may have come to none.
 */
export function casesOf(tests: readonly Line[], folder: string): readonly Line[] {
  const failed = tests
    .filter(({ run, held }) => run !== held)
    .map((line) => ({ ...line, what: 'tests that failed', run: line.run - line.held, held: 0 }));
  const files = existsSync(folder) ? readdirSync(folder).sort() : [];
  return [
    ...files.flatMap((file) => written.parse(JSON.parse(readFileSync(join(folder, file), 'utf8')))),
    ...failed,
  ];
}
