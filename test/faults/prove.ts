// npm run prove [-- --report FILE] [--short | --long] [--seed N] [--only PART]: Keyturn's claims, tried.
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { root } from '../../local/root.ts';
import { bundleWorker } from './bundle.ts';
import { runMatrix } from './parts/matrix.ts';
import { lastMutation, leastScore, scoreOf } from './parts/mutation.ts';
import { runSoak } from './parts/soak.ts';
import { runSuites, sumOf } from './parts/suites.ts';
import { type Caught, caught, sightOf, soundSeeds } from './planted/catch.ts';
import { defects } from './planted/defects.ts';
import { htmlOf } from './report/html.ts';
import { type ProofReport, type Section, standingOf } from './report/report.ts';
import type { Outcome, Plan } from './simulation/plan.ts';
import { planOf, shrunk } from './simulation/plans.ts';
import { keptSeeds } from './simulation/seeds.ts';
import { runAll, SimulationThread } from './simulation/threads.ts';

const { values } = parseArgs({
  options: {
    report: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    rotations: { type: 'string' },
    short: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
  },
});
const folder = join(root, '.keyturn', 'prove');
mkdirSync(folder, { recursive: true });
const threads = Math.max(1, Math.min(8, availableParallelism()));
const wanted = Number(values.rotations ?? (values.long ? 1_000_000 : values.short ? 10_000 : 100_000));
const firstSeed = Number(values.seed ?? 1);
const parts = ['simulation', 'planted', 'matrix', 'environment', 'attacks', 'soak', 'mutation'];
if (values.only !== undefined && !parts.includes(values.only)) {
  console.error(`keyturn: --only expects one of ${parts.join(', ')}`);
  process.exit(2);
}
// A seed is one world's.
const runs = (part: string) => (values.only ?? (values.seed === undefined ? part : 'simulation')) === part;
const suites = (part: string, project: string, ...within: string[]) =>
  runSuites(part, [{ project, within }], folder);

const simulated = runs('simulation') ? await simulation() : undefined;
const plantedResults = runs('planted') ? await planted() : undefined;
const matrix = runs('matrix') ? runMatrix(folder) : undefined;
const environment = runs('environment')
  ? suites('environment', 'faults', 'test/faults/environment')
  : undefined;
const attacks = runs('attacks')
  ? [
      ...suites('attacks', 'attacks'),
      ...suites('attacks', 'unit', 'test/unit/security', 'test/unit/deployment'),
    ]
  : undefined;
const soaked = runs('soak') ? runSoak(folder) : undefined;
const mutation = runs('mutation') ? lastMutation() : undefined;
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
    explanation: "Faults in AWS's, Vault's and PostgreSQL's own wire formats.",
    lines: environment,
    otherwise: 'Left out by --only or --seed.',
    figures: [],
  },
  {
    title: 'Soak',
    explanation:
      'A deployed fleet under faults, with agents at full load. Its short form: `npm run soak` runs 1,000.',
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
    lines: mutation?.map((score) => ({
      part: score.group,
      what: [
        `at least ${leastScore} % of ${score.mutants} mutants are killed: ${scoreOf([score])} % on ${score.at.toISOString()}`,
        ...score.changedSince.map((file) => `${file} has changed since`),
      ].join('; '),
      run: 1,
      held: scoreOf([score]) >= leastScore ? 1 : 0,
    })),
    otherwise: 'There is no report of `npm run mutation` for every group, or it was left out.',
    figures: mutation ? [['Score', `${scoreOf(mutation)} %`]] : [],
  },
];
const report: ProofReport = {
  matrix: sumOf(matrix),
  environment: sumOf(environment),
  simulation: {
    rotations: simulated?.rotations ?? 0,
    violations: simulated?.failed.length ?? 0,
    seed: simulated?.failed[0]?.plan.seed ?? firstSeed,
  },
  planted: {
    total: plantedResults?.length ?? 0,
    caught: plantedResults?.filter(({ by }) => by !== undefined).length ?? 0,
  },
  soak: { rotations: soaked?.rotations ?? 0, failedRequests: soaked?.failedRequests ?? 0 },
  attacks: sumOf(attacks),
  mutation: { score: mutation ? scoreOf(mutation) : 0 },
};
print(sections);
const html = join(folder, 'report.html');
writeFileSync(html, htmlOf(sections, new Date()));
console.log(`A page with all of it: ${html}`);
if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(report, undefined, 2)}\n`);
process.exit(sections.some((section) => standingOf(section) === 'broken') ? 1 : 0);

interface Simulated {
  readonly rotations: number;
  readonly worlds: number;
  readonly events: number;
  readonly agentRequests: number;
  readonly overtaken: number;
  readonly leftBehind: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly failed: readonly { readonly plan: Plan; readonly outcome: Outcome }[];
  readonly seconds: number;
}

async function simulation(): Promise<Simulated> {
  const bundle = join(folder, 'simulation.mjs');
  await bundleWorker(bundle);
  const began = performance.now();
  let seed = firstSeed;
  const sum = { rotations: 0, worlds: 0, events: 0, agentRequests: 0, overtaken: 0, leftBehind: 0 };
  const faults: Record<string, number> = {};
  const failed: { plan: Plan; outcome: Outcome }[] = [];
  const waiting = [...keptSeeds];
  const next = () => {
    if (failed.length > 0 || sum.rotations >= wanted) return undefined;
    if (values.seed !== undefined && seed > firstSeed) return undefined;
    const kept = values.seed === undefined ? waiting.shift() : undefined;
    if (kept !== undefined) return planOf(kept);
    while (values.seed === undefined && keptSeeds.includes(seed)) seed += 1;
    return planOf(seed++);
  };
  await runAll(bundle, values.seed === undefined ? threads : 1, next, (plan, outcome) => {
    sum.worlds += 1;
    for (const key of ['rotations', 'events', 'agentRequests', 'overtaken', 'leftBehind'] as const) {
      sum[key] += outcome[key];
    }
    for (const [kind, count] of Object.entries(outcome.faults)) faults[kind] = (faults[kind] ?? 0) + count;
    if (outcome.violations.length > 0) failed.push({ plan, outcome });
    const standing = outcome.violations.length > 0 ? 'BROKEN' : 'held';
    console.log(
      `seed ${plan.seed}: ${outcome.rotations} rotations, ${standing} (${sum.rotations} of ${wanted})`,
    );
  });
  const seconds = (performance.now() - began) / 1_000;
  for (const { plan, outcome } of failed) await explain(bundle, plan, outcome);
  return { ...sum, faults, failed, seconds };
}

/** Replays a plan that failed, with less and less in it. */
async function explain(bundle: string, plan: Plan, { violations }: Outcome): Promise<void> {
  const [first] = violations;
  if (!first) return;
  console.log(`seed ${plan.seed}: ${first.invariant}: ${first.secret} ${first.what}`);
  await using thread = new SimulationThread(bundle);
  const index = Number(/agent-(\d+)\//.exec(first.secret)?.[1] ?? Number.NaN);
  const smallest = await shrunk(plan, Number.isNaN(index) ? undefined : index, async (smaller) => {
    const outcome = await thread.run(smaller);
    return outcome.violations.some(({ invariant }) => invariant === first.invariant)
      ? outcome.struck
      : undefined;
  });
  console.log(`seed ${plan.seed}, shrunk: ${JSON.stringify(smallest)}`);
}

async function planted(): Promise<readonly Caught[]> {
  const results: Caught[] = [];
  const seeds = await soundSeeds(join(folder, 'sound.mjs'), 6);
  const waiting = [...defects.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, defect] = next;
      const result = await caught(defect, join(folder, `planted-${index}.mjs`), seeds);
      results.push(result);
      console.log(`planted: ${defect.name}: ${sightOf(result)}`);
    }
  };
  await Promise.all(Array.from({ length: threads }, work));
  return results;
}

function simulationSection(result: Simulated | undefined): Section {
  return {
    title: 'Simulation',
    explanation:
      'The deployed code of the whole pipeline and its agents, in one process under virtual time, with faults from a seed; then without faults, until all has converged.',
    lines: result && [
      {
        part: 'pipeline',
        what: 'worlds in which every invariant held after every event, and which converged within one reconcile',
        run: result.worlds,
        held: result.worlds - result.failed.length,
      },
    ],
    otherwise: 'Left out by --only.',
    figures: result
      ? [
          ['Rotations', String(result.rotations)],
          ['Events', String(result.events)],
          ['Agent requests', String(result.agentRequests)],
          ['Faults', String(Object.values(result.faults).reduce((sum, count) => sum + count, 0))],
          ['Rotations a second', (result.rotations / result.seconds).toFixed(0)],
          ['Grace cut short by the next rotation', String(result.overtaken)],
          ['Adopted logins left behind', String(result.leftBehind)],
        ]
      : [],
  };
}

function plantedSection(results: readonly Caught[] | undefined): Section {
  return {
    title: 'Planted defects',
    explanation:
      'Defects that others have written, put into the code one at a time. The simulation must see each.',
    lines: results?.map(({ defect, by, seed }) => ({
      part: defect,
      what: sightOf({ defect, by, seed }),
      run: 1,
      held: by === undefined ? 0 : 1,
    })),
    otherwise: 'Left out by --only or --seed.',
    figures: results
      ? [['Caught', `${results.filter(({ by }) => by !== undefined).length} of ${results.length}`]]
      : [],
  };
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
