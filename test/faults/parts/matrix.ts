import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { Line } from '../report/report.ts';
import { runSuites } from './suites.ts';

const written = z.array(z.object({ part: z.string(), what: z.string(), run: z.number(), held: z.number() }));

/** Runs the crash matrix. Its cases count, each a call and a moment, not the tests that run them. */
export function runMatrix(folder: string): readonly Line[] {
  const cases = join(folder, 'matrix');
  // What an earlier run wrote is no case of this one.
  rmSync(cases, { recursive: true, force: true });
  const tests = runSuites('matrix', [{ project: 'faults', within: ['test/faults/matrix'] }], folder);
  return casesOf(tests, cases);
}

/** A test that failed counts beside its cases: it may have come to none. */
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
