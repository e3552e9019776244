import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import * as z from 'zod';
import { root } from '../../../local/root.ts';
import type { Line } from '../report/report.ts';

/** Tests of one vitest project, those of some folders or files. */
export interface Suite {
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

/** Runs the suites one after another; a line for each file. Output is theirs. */
export function runSuites(part: string, suites: readonly Suite[], folder: string): readonly Line[] {
  return suites.flatMap(({ project, within }) => {
    const file = join(folder, `${part}-${project}.json`);
    rmSync(file, { force: true });
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const options = [
      '--maxWorkers=100%',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
    ];
    const { status } = spawnSync(
      process.execPath,
      [vitest, 'run', '--project', project, ...options, ...within],
      {
        cwd: root,
        stdio: 'inherit',
      },
    );
    // Vitest that wrote nothing proved nothing.
    if (!existsSync(file)) return [{ part: project, what: 'vitest did not end', run: 1, held: 0 }];
    const lines = linesOf(JSON.parse(readFileSync(file, 'utf8')));
    // An error outside every test fails the run, and no test.
    const isUntold = status !== 0 && lines.every(({ run, held }) => run === held);
    return isUntold ? [...lines, { part: project, what: 'vitest ends well', run: 1, held: 0 }] : lines;
  });
}

/** A file that failed without a test of its own that did counts as one failure; what was skipped wasn't run. */
export function linesOf(report: unknown): readonly Line[] {
  const { testResults } = results.parse(report);
  if (testResults.length === 0) return [{ part: 'vitest', what: 'found no test', run: 1, held: 0 }];
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
