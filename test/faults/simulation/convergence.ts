import { shownTo } from './agents.ts';
import type { Line } from './line.ts';
import { reconcile, reconcileMirrors } from './reconcilers.ts';
import { askForRotation } from './rotations.ts';
import { minute } from './virtual-time.ts';
import type { World } from './world.ts';

type Run = (ms: number) => Promise<void>;

/** Faults are over: the reconcilers run once, and everything must be well; so it must after one more rotation. */
export async function converge(world: World, run: Run): Promise<void> {
  const { oracle, servers, healthAlerts, schedules } = world;
  const all = [...world.lines.values()];
  const ended = () => oracle.violations.length > 0;
  const mended = Promise.all([reconcile(world, 0), reconcileMirrors(world, 0)]);
  await run(30 * minute);
  await mended;
  if (ended()) return;
  for (const line of all) if (!ended()) await mustHaveConverged(world, line, run);
  for (const line of all) await askForRotation(world, line);
  await run(90 * minute);
  if (ended()) return;
  for (const line of all) if (!ended()) await mustHaveConverged(world, line, run, true);
  for (const [host, { model }] of servers) {
    if (model.sessions > 0) oracle.violated('every session ends', host, `${model.sessions} are open`);
  }
  for (const [backend, key] of healthAlerts) {
    if (!key.startsWith('recovered')) oracle.violated('every episode ends', backend, key);
  }
  if (schedules.size > 0) oracle.violated('no schedule is left', '', `${schedules.size} are`);
}

/** What comes a day late changes nothing. */
export async function stayConverged(world: World, run: Run): Promise<void> {
  await run(25 * 60 * minute);
  for (const line of world.lines.values()) {
    if (world.oracle.violations.length === 0) await mustHaveConverged(world, line, run, true);
  }
}

/** `clean`: a rotation went through since, without a fault. */
async function mustHaveConverged(world: World, line: Line, run: Run, clean = false): Promise<void> {
  const { engine, oracle, time } = world;
  const { current, model, group, secret } = line;
  const violated = (invariant: string, what: string) => oracle.violated(invariant, secret, what);
  const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: line.arn });
  const pending = Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSPENDING'));
  if (pending && pending[0] !== current?.versionId) {
    violated('no rotation is left behind', JSON.stringify(engine.rotationOf(line.arn)?.error ?? 'pending'));
  }
  if (!current || !model.worksAs(current.username, current.password, group)) {
    violated('AWSCURRENT authenticates and has its grants', 'after everything converged');
  }
  for (const { login, until } of line.superseded) {
    if (
      until < time.now() &&
      login.password !== current?.password &&
      model.accepts(login.username, login.password)
    ) {
      violated('a superseded credential is refused once its grace is over', `version ${login.versionId}`);
    }
  }
  if (line.mirrored) {
    const mirror = await world.vaultModel.readData(secret);
    if (mirror?.data.password !== current?.password) violated('a mirror follows AWSCURRENT', 'it is behind');
  }
  if (clean && line.alerts.at(-1)?.state === 'failed')
    violated('every episode ends', 'the alert of a failure stays open');
  for (const agent of line.agents) {
    const shown = await shownTo(agent, secret, () => run(10_000));
    if (shown !== current?.versionId) violated('an agent follows AWSCURRENT', `${agent.name}: ${shown}`);
  }
}
