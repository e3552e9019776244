// npm run prove [-- --report FILE] [--short | --long] [--seed N] [--only PART]: Keyturn's claims, tried.
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { root } from '../../local/root.ts';
import { bundleWorker } from './bundle.ts';
import { type Caught, caught, soundSeeds } from './planted/catch.ts';
import { defects } from './planted/defects.ts';
import { htmlOf } from './report/html.ts';
import { type ProofReport, type Section, standingOf } from './report/report.ts';
import { planOf, shrunk } from './simulation/plans.ts';
import { runAll, SimulationThread } from './simulation/threads.ts';
import type { Outcome, Plan } from './simulation/world.ts';

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
const runs = (part: string) => values.only === undefined || values.only === part;

const simulated = runs('simulation') ? await simulation() : undefined;
const plantedResults = runs('planted') && values.seed === undefined ? await planted() : undefined;
const sections: Section[] = [
  simulationSection(simulated),
  plantedSection(plantedResults),
  {
    title: 'Crash matrix',
    explanation: 'Rotations on a real PostgreSQL, killed before and after every outside call.',
    lines: undefined,
    otherwise: 'Run by `vitest run --project integration test/integration/rotation/crash-matrix.test.ts`.',
    figures: [],
  },
  {
    title: 'Environment',
    explanation: "Faults in AWS's and PostgreSQL's own wire formats.",
    lines: undefined,
    otherwise: 'Run by `npm run test:integration`.',
    figures: [],
  },
  {
    title: 'Soak',
    explanation: 'A deployed fleet under faults, with agents at full load.',
    lines: undefined,
    otherwise: 'Run by `npm run soak`.',
    figures: [],
  },
  {
    title: 'Attacks',
    explanation: 'Automated checks of docs/security.md.',
    lines: undefined,
    otherwise: 'Run by `npm test`.',
    figures: [],
  },
  {
    title: 'Mutation',
    explanation: 'Mutants of the code that the tests kill.',
    lines: undefined,
    otherwise: 'Not run by this command.',
    figures: [],
  },
];
const report: ProofReport = {
  matrix: { run: 0, held: 0 },
  environment: { run: 0, held: 0 },
  simulation: {
    rotations: simulated?.rotations ?? 0,
    violations: simulated?.failed.length ?? 0,
    seed: simulated?.failed[0]?.plan.seed ?? firstSeed,
  },
  planted: {
    total: plantedResults?.length ?? 0,
    caught: plantedResults?.filter(({ by }) => by !== undefined).length ?? 0,
  },
  soak: { rotations: 0, failedRequests: 0 },
  attacks: { run: 0, held: 0 },
  mutation: { score: 0 },
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
  const next = () => {
    if (failed.length > 0 || sum.rotations >= wanted) return undefined;
    if (values.seed !== undefined && seed > firstSeed) return undefined;
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
      console.log(`planted: ${defect.name}: ${result.by ?? 'NOT CAUGHT'}`);
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
    lines: results?.map(({ defect, by }) => ({
      part: defect,
      what: by ?? 'nothing noticed',
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
    const sum = (key: 'run' | 'held') => (section.lines ?? []).reduce((total, line) => total + line[key], 0);
    table.push([section.title, sum('run'), sum('held'), standingOf(section)]);
    for (const [name, value] of section.figures) table.push([`  ${name}`, { colSpan: 3, content: value }]);
  }
  console.log(table.toString());
}
