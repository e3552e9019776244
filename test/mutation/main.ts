// npm run mutation [-- GROUP...] [--changed]: changes the code in small ways, and tells which changes no test notices.
import { mkdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { Stryker } from '@stryker-mutator/core';
import Table from 'cli-table3';
import { root } from '../../local/root.ts';
import { type Group, type GroupName, groups } from './groups.ts';
import { keepScore, leastPercent, percentOf, readScores, scoreIn } from './scores.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Only mutants that a change of their file or of a test concerns; what else changed, it doesn't see. */
    changed: { type: 'boolean', default: false },
  },
});
const names = Object.keys(groups) as GroupName[];
const unknown = positionals.find((name) => !names.some((group) => group === name));
if (unknown !== undefined) {
  console.error(`keyturn: expected one of ${names.join(', ')}, not ${unknown}`);
  process.exit(2);
}

for (const name of names) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const report = await mutate(name, groups[name]);
  keepScore(name, scoreIn(name, readFileSync(report, 'utf8'), new Date()));
}
const scores = readScores();
const table = new Table({ head: ['Group', 'Mutants', 'Killed', 'Score', 'When'], style: { head: [] } });
for (const name of names) {
  const score = scores[name];
  table.push(
    score
      ? [name, score.mutants, score.killed, `${percentOf([score])} %`, score.at]
      : [name, { colSpan: 4, content: 'never run' }],
  );
}
console.log(table.toString());
const isEnough = (name: GroupName) => scores[name] && percentOf([scores[name]]) >= leastPercent;
process.exit(names.every(isEnough) ? 0 : 1);

/** Gives the path of the report. */
async function mutate(name: GroupName, { mutate }: Group): Promise<string> {
  const folder = join(root, '.keyturn', 'mutation', name);
  mkdirSync(folder, { recursive: true });
  const within = (file: string) => relative(root, join(folder, file));
  const plugin = (file: string) => join(import.meta.dirname, file);
  await new Stryker({
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner', plugin('wording.ts')],
    vitest: { configFile: `test/mutation/vitest/${name}.ts`, related: false },
    mutate: [...mutate],
    ignorers: ['wording'],
    coverageAnalysis: 'perTest',
    incremental: true,
    incrementalFile: within('incremental.json'),
    force: !values.changed,
    concurrency: 2,
    // A busy machine is slow: that is no kill. Loops without an end are seen by how often they turn.
    timeoutMS: 60_000,
    reporters: ['progress-append-only', 'clear-text', 'json', 'html'],
    jsonReporter: { fileName: within('report.json') },
    htmlReporter: { fileName: within('report.html') },
    clearTextReporter: { allowColor: false, logTests: false, reportTests: false, reportMutants: true },
    // TypeScript 7 has no API that Stryker could read a tsconfig with; nothing here needs one.
    tsconfigFile: 'none',
    tempDirName: within('sandbox'),
    thresholds: { high: 95, low: leastPercent, break: null },
    ignorePatterns: ['.keyturn', 'dist', '.serverless', '.esbuild', 'docs', 'bench', 'cli', 'local/tour'],
  }).runMutationTest();
  return join(folder, 'report.json');
}
