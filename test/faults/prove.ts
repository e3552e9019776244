// npm run prove [-- --report FILE] [--short | --long] [--rotations N] [--seed N] [--only PART]...: Keyturn's claims, tried.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { root } from '../../local/root.ts';
import { casesOf } from './parts/matrix.ts';
import { lastMutation, runMutation } from './parts/mutation.ts';
import { plant, plantedSection } from './parts/planted.ts';
import { simulateMany, simulationSection } from './parts/simulation.ts';
import { runSoak } from './parts/soak.ts';
import { runSuites, type Suite, sumOf } from './parts/suites.ts';
import { htmlOf } from './report/html.ts';
import { type ProofReport, type Section, standingOf } from './report/report.ts';

const { values } = parseArgs({
  options: {
    report: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string', multiple: true },
    rotations: { type: 'string' },
    short: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
  },
});
const folder = join(root, '.keyturn', 'prove');
mkdirSync(folder, { recursive: true });
const threads = Math.max(1, Math.min(8, availableParallelism()));
/** Rotations: simulated ones, and those of the soak. */
const forms = {
  usual: { simulated: 100_000, soaked: 1_000 },
  /** What CI runs. */
  short: { simulated: 100_000, soaked: 40 },
  long: { simulated: 1_000_000, soaked: 1_000 },
};
const form = forms[values.long ? 'long' : values.short ? 'short' : 'usual'];
const parts = ['simulation', 'planted', 'matrix', 'environment', 'attacks', 'soak', 'mutation'];
if (values.only?.some((part) => !parts.includes(part))) refuse(`--only expects one of ${parts.join(', ')}`);
if (values.short && values.long) refuse('either --short or --long');
const wanted = wholeNumber('rotations') ?? form.simulated;
const seed = wholeNumber('seed');
// A seed is one world's.
const chosen = values.only ?? (values.seed === undefined ? parts : ['simulation']);
const runs = (part: string) => chosen.includes(part);
const inFaults = (...names: string[]) => names.map((name) => `test/faults/${name}/`);
const suites: readonly Suite[] = [
  { part: 'matrix', project: 'faults', within: inFaults('matrix') },
  {
    part: 'environment',
    project: 'faults',
    within: inFaults('environment', 'conformance', 'agent', 'simulation'),
  },
  { part: 'attacks', project: 'attacks', within: ['test/attacks/'] },
  { part: 'attacks', project: 'unit', within: ['test/unit/deployment/'] },
];

const simulated = runs('simulation')
  ? await simulateMany({ folder, threads, rotations: wanted, seed })
  : undefined;
const plantedResults = runs('planted') ? await plant(folder, threads) : undefined;
const cases = join(folder, 'matrix');
// What an earlier run wrote is no case of this one.
rmSync(cases, { recursive: true, force: true });
const proven = runSuites(
  suites.filter(({ part }) => runs(part)),
  folder,
);
const { environment, attacks } = proven;
const matrix = proven.matrix && casesOf(proven.matrix, cases);
const soaked = runs('soak') ? runSoak(folder, form.soaked) : undefined;
const mutation = runs('mutation') ? (values.short ? lastMutation() : runMutation()) : undefined;
const sections: Section[] = [
  simulationSection(simulated),
  plantedSection(plantedResults),
  {
    title: 'Crash matrix',
    explanation: 'Handlers on a real PostgreSQL and OpenBao, killed before, in and after every outside call.',
    lines: matrix,
    otherwise: 'Left out by --only or --seed.',
    figures: [],
  },
  {
    title: 'Environment',
    explanation:
      "Faults in AWS's, Vault's and PostgreSQL's own wire formats; and whether the simulation's models answer as real servers do.",
    lines: environment,
    otherwise: 'Left out by --only or --seed.',
    figures: [],
  },
  {
    title: 'Soak',
    explanation: 'A deployed fleet under faults, with agents at full load: `npm run soak` alone.',
    lines: soaked?.lines,
    otherwise: 'Left out by --only or --seed.',
    figures: soaked
      ? [
          ['Rotations', String(soaked.rotations)],
          ['Failed requests', String(soaked.failedRequests)],
        ]
      : [],
  },
  {
    title: 'Attacks',
    explanation: 'Automated checks of docs/security.md.',
    lines: attacks,
    otherwise: 'Left out by --only or --seed.',
    figures: [],
  },
  {
    title: 'Mutation',
    explanation: 'Mutants of the code that the tests kill, as the last `npm run mutation` found.',
    lines: mutation?.lines,
    otherwise: 'There is a group that `npm run mutation` has never run, or it was left out.',
    figures: mutation ? [['Score', `${mutation.percent} %`]] : [],
  },
];
const report: ProofReport = {
  matrix: sumOf(matrix),
  environment: sumOf(environment),
  simulation: {
    rotations: simulated?.rotations ?? 0,
    violations: simulated?.failed.length ?? 0,
    seed: simulated?.failed[0]?.plan.seed ?? seed ?? 1,
  },
  planted: {
    total: plantedResults?.length ?? 0,
    caught: plantedResults?.filter(({ by }) => by !== undefined).length ?? 0,
  },
  soak: { rotations: soaked?.rotations ?? 0, failedRequests: soaked?.failedRequests ?? 0 },
  attacks: sumOf(attacks),
  mutation: { score: mutation?.percent ?? 0 },
};
print(sections);
for (const { title, lines = [] } of sections) {
  for (const { part, what, run, held } of lines) {
    if (run !== held) console.error(`broken: ${title}: ${part}: ${what}: ${held} of ${run} held`);
  }
}
const html = join(folder, 'report.html');
writeFileSync(html, htmlOf(sections, new Date()));
console.log(`A page with all of it: ${html}`);
if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(report, undefined, 2)}\n`);
process.exit(sections.some((section) => standingOf(section) === 'broken') ? 1 : 0);

function wholeNumber(option: 'rotations' | 'seed'): number | undefined {
  const text = values[option];
  if (text === undefined) return undefined;
  const number = Number(text);
  return Number.isInteger(number) && number >= 1
    ? number
    : refuse(`--${option} expects a whole number, at least 1`);
}

function refuse(sentence: string): never {
  console.error(`keyturn: ${sentence}`);
  process.exit(2);
}

function print(all: readonly Section[]): void {
  const table = new Table({ head: ['Part', 'Run', 'Held', 'Standing'], style: { head: [] } });
  for (const section of all) {
    const { run, held } = sumOf(section.lines);
    table.push([section.title, run, held, standingOf(section)]);
    for (const [name, value] of section.figures) table.push([`  ${name}`, { colSpan: 3, content: value }]);
  }
  console.log(table.toString());
}
