import { startAgent } from './agents.ts';
import { converge, stayConverged } from './convergence.ts';
import { startHealthChecks } from './health.ts';
import { addLine } from './line.ts';
import { watchMirrors } from './mirrors.ts';
import type { Outcome, Plan } from './plan.ts';
import { startReconcilers } from './reconcilers.ts';
import { startRotations } from './rotations.ts';
import { minute } from './virtual-time.ts';
import { newWorld } from './world.ts';

/** Runs a plan from its beginning until everything has converged, or something was violated. */
export async function simulate(plan: Plan, trace?: (what: string) => void): Promise<Outcome> {
  const world = newWorld(plan, trace);
  const { time, faults, oracle, counts } = world;
  for (const index of plan.secrets) await addLine(world, index);
  const lines = [...world.lines.values()];
  watchMirrors(world);
  for (const line of lines) {
    startRotations(world, line);
    for (const agent of line.agents) startAgent(world, line, agent);
  }
  startHealthChecks(world);
  startReconcilers(world);

  const run = (ms: number) =>
    time.runUntil(time.now() + ms, () => {
      counts.events += 1;
      return oracle.holds();
    });
  const ended = () => oracle.violations.length > 0;
  await run(plan.rotations * 45 * minute + 60 * minute);
  faults.end();
  if (!ended()) await run(120 * minute);
  if (!ended()) await converge(world, run);
  world.active = false;
  if (!ended()) await stayConverged(world, run);
  return {
    ...counts,
    rotations: lines.reduce((sum, { rotations }) => sum + rotations, 0),
    faults: faults.counts(),
    struck: faults.struck.map(({ id }) => id),
    violations: oracle.violations,
  };
}
