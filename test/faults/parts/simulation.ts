import { join } from 'node:path';
import { bundleWorker } from '../bundle.ts';
import type { Section } from '../report/report.ts';
import { faultKinds } from '../simulation/faults.ts';
import type { Outcome, Plan } from '../simulation/plan.ts';
import { planOf, shrunk } from '../simulation/plans.ts';
import { keptSeeds } from '../simulation/seeds.ts';
import { runAll, SimulationThread } from '../simulation/threads.ts';

export interface Simulated {
  readonly rotations: number;
  readonly worlds: number;
  readonly events: number;
  readonly agentRequests: number;
  readonly overtaken: number;
  readonly alertsRefused: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly failed: readonly { readonly plan: Plan; readonly outcome: Outcome }[];
  readonly seconds: number;
}

interface Wanted {
  readonly folder: string;
  readonly threads: number;
  readonly rotations: number;
  /** One world only. */
  readonly seed: number | undefined;
}

const summed = ['rotations', 'events', 'agentRequests', 'overtaken', 'alertsRefused'] as const;

/** Simulates the kept seeds, then one seed after another, until there are enough rotations or a world breaks. */
export async function simulateMany({ folder, threads, rotations, seed }: Wanted): Promise<Simulated> {
  const bundle = join(folder, 'simulation.mjs');
  await bundleWorker(bundle);
  const began = performance.now();
  const sum = {
    worlds: 0,
    rotations: 0,
    events: 0,
    agentRequests: 0,
    overtaken: 0,
    alertsRefused: 0,
  };
  const faults: Record<string, number> = {};
  const failed: { plan: Plan; outcome: Outcome }[] = [];
  const seeds = seed === undefined ? allSeeds() : [seed].values();
  const next = () => {
    if (failed.length > 0 || sum.rotations >= rotations) return undefined;
    const { value } = seeds.next();
    return value === undefined ? undefined : planOf(value);
  };
  await runAll(bundle, seed === undefined ? threads : 1, next, (plan, outcome) => {
    sum.worlds += 1;
    for (const key of summed) sum[key] += outcome[key];
    for (const [kind, count] of Object.entries(outcome.faults)) faults[kind] = (faults[kind] ?? 0) + count;
    if (outcome.violations.length > 0) failed.push({ plan, outcome });
    const standing = outcome.violations.length > 0 ? 'BROKEN' : 'held';
    console.log(
      `seed ${plan.seed}: ${outcome.rotations} rotations, ${standing} (${sum.rotations} of ${rotations})`,
    );
  });
  const seconds = (performance.now() - began) / 1_000;
  for (const { plan, outcome } of failed) await explain(bundle, plan, outcome);
  return { ...sum, faults, failed, seconds };
}

/** Those that broke once come first. */
function* allSeeds(): Generator<number, undefined> {
  yield* keptSeeds;
  for (let seed = 1; ; seed += 1) if (!keptSeeds.includes(seed)) yield seed;
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

/** The report's part of the simulation; undefined where it was left out. */
export function simulationSection(result: Simulated | undefined): Section {
  return {
    title: 'Simulation',
    explanation:
      'The deployed code of the whole pipeline and its agents, in one process under virtual time, with faults from a seed; then without faults, until all has converged.',
    lines: result && [
      {
        part: 'pipeline',
        what: `worlds in which every invariant held after every event, and which converged within one reconcile${brokenOnes(result)}`,
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
          ...faultKinds.map((kind) => [`Fault: ${kind}`, String(result.faults[kind] ?? 0)] as const),
          ['Alerts that SNS refused', String(result.alertsRefused)],
          ['Rotations a second', (result.rotations / result.seconds).toFixed(0)],
          ['Grace cut short by the next rotation', String(result.overtaken)],
        ]
      : [],
  };
}

/** Which worlds broke and by what: where only the summary is kept, it is all that there is to replay one. */
function brokenOnes({ failed }: Simulated): string {
  return failed
    .map(({ plan, outcome }) => ` (seed ${plan.seed} broke: ${outcome.violations[0]?.invariant})`)
    .join('');
}
