import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import * as z from 'zod';
import { root } from '../../../local/root.ts';
import type { Line } from '../report/report.ts';

/** Tests that prove one part: those of a vitest project that lie in some folders. */
export interface Suite {
  readonly part: string;
  readonly project: string;
  readonly within: readonly string[];
}

/** What vitest writes, as far as it is counted. */
const results = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      assertionResults: z.array(z.object({ status: z.string() })),
    }),
  ),
});

/**
 * Runs the suites side by side, in one run of vitest: one after the other, the longest file of each would keep all but one core
 * waiting. Gives a line for each file, by part. Output is vitest's.
 */
export function runSuites(
  suites: readonly Suite[],
  folder: string,
): Readonly<Record<string, readonly Line[]>> {
  if (suites.length === 0) return {};
  const file = join(folder, 'suites.json');
  rmSync(file, { force: true });
  const projects = new Set(suites.map(({ project }) => `--project=${project}`));
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const { status } = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      '--maxWorkers=100%',
      ...projects,
      ...reporters,
      ...suites.flatMap(({ within }) => within),
    ],
    { cwd: root, stdio: 'inherit' },
  );
  // Vitest that wrote nothing proved nothing.
  if (!existsSync(file)) return partsOf([], suites, 'vitest did not end');
  const lines = linesOf(JSON.parse(readFileSync(file, 'utf8')));
  // An error outside every test fails the run, and no test.
  const isUntold = status !== 0 && lines.every(({ run, held }) => run === held);
  return partsOf(lines, suites, isUntold ? 'vitest ends well' : undefined);
}

/** Each part's own files. A part without any proved nothing; what failed outside every test, `broken`, may have failed any part. */
export function partsOf(
  lines: readonly Line[],
  suites: readonly Suite[],
  broken?: string,
): Readonly<Record<string, readonly Line[]>> {
  const parts: Record<string, readonly Line[]> = {};
  for (const [part, ofPart] of Map.groupBy(suites, (suite) => suite.part)) {
    const isOfPart = (file: string) =>
      ofPart.some(({ within }) => within.some((folder) => file.startsWith(folder)));
    const own = lines.filter((line) => isOfPart(line.part));
    const failed = broken ?? (own.length === 0 ? 'found no test' : undefined);
    parts[part] = failed === undefined ? own : [...own, { part: 'vitest', what: failed, run: 1, held: 0 }];
  }
  return parts;
}

/** A file that failed without a test of its own that did counts as one failure; what was skipped wasn't run. */
export function linesOf(report: unknown): readonly Line[] {
  const { testResults } = results.parse(report);
  return testResults.map(({ name, status, assertionResults }) => {
    const count = (what: string) => assertionResults.filter((one) => one.status === what).length;
    const [held, failed] = [count('passed'), count('failed')];
    const broken = failed === 0 && status !== 'passed' ? 1 : failed;
    return { part: relative(root, name), what: 'tests', run: held + broken, held };
  });
}

export function sumOf(lines: readonly Line[] | undefined): { run: number; held: number } {
  const sum = (key: 'run' | 'held') => (lines ?? []).reduce((total, line) => total + line[key], 0);
  return { run: sum('run'), held: sum('held') };
}
