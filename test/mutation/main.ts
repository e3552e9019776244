// npm run mutation [-- GROUP...] [--changed]: changes the code in small ways, and tells which changes no test notices.
import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { Stryker } from '@stryker-mutator/core';
import Table from 'cli-table3';
import { root } from '../../local/root.ts';
import { lastMutation, leastScore, mutationFolder, reportOf, scoreOf } from '../faults/parts/mutation.ts';
import { type Group, groups } from './groups.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Only mutants that a change of their file or of a test concerns; what else changed, it doesn't see. */
    changed: { type: 'boolean', default: false },
  },
});
const all: readonly [string, Group][] = Object.entries(groups);
const unknown = positionals.find((name) => !all.some(([group]) => group === name));
if (unknown !== undefined) {
  console.error(`keyturn: expected one of ${all.map(([group]) => group).join(', ')}, not ${unknown}`);
  process.exit(2);
}

for (const [name, group] of all) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  await mutate(name, group);
}
const scores = lastMutation() ?? [];
const table = new Table({ head: ['Group', 'Mutants', 'Killed', 'Score', 'When'], style: { head: [] } });
for (const score of scores) {
  table.push([score.group, score.mutants, score.killed, `${scoreOf([score])} %`, score.at.toISOString()]);
}
console.log(scores.length > 0 ? table.toString() : 'Some group was never run, so there is no score.');
process.exit(scores.length > 0 && scores.every((score) => scoreOf([score]) >= leastScore) ? 0 : 1);

async function mutate(name: string, { mutate, tests: _ }: Group): Promise<void> {
  const folder = join(mutationFolder, name);
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
    jsonReporter: { fileName: relative(root, reportOf(name)) },
    htmlReporter: { fileName: within('report.html') },
    clearTextReporter: { allowColor: false, logTests: false, reportTests: false, reportMutants: true },
    // TypeScript 7 has no API that Stryker could read a tsconfig with; nothing here needs one.
    tsconfigFile: 'none',
    tempDirName: within('sandbox'),
    thresholds: { high: 95, low: leastScore, break: null },
    ignorePatterns: ['.keyturn', 'dist', '.serverless', '.esbuild', 'docs', 'bench', 'cli', 'local/tour'],
  }).runMutationTest();
}
