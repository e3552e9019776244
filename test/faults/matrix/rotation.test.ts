import { afterAll, beforeAll, describe, expect } from 'vitest';
import { leaksOf } from '../../attacks/canary.ts';
import {
  type Agent,
  dayMs,
  type Fleet,
  fleetOn,
  hourMs,
  unwatched,
} from '../../integration/reconciliation/fleet.ts';
import { asAgent, postgresForTests } from '../../integration/rotation/setting.ts';
import { type Run, watchPostgres } from './killer.ts';
import { matrixOf, type Trial } from './matrix.ts';

const parts = new AsyncDisposableStack();
let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = parts.use(await postgresForTests());
  parts.use(watchPostgres());
});
afterAll(() => parts.disposeAsync());

const recoveries = [
  'the same token',
  'a new token',
  'a concurrent duplicate',
  'the reconciler alone',
] as const;
type Recovery = (typeof recoveries)[number];
let count = 0;

async function rotation(strategy: string, recovery: Recovery): Promise<Trial> {
  count += 1;
  const group = `struck${count}`;
  // The run that is struck is dead until Secrets Manager begins the steps anew.
  let struck: Run | undefined;
  let begun = 0;
  const fleet = fleetOn(server, {
    attempts: recovery === 'the same token' || recovery === 'a concurrent duplicate' ? 2 : 1,
    async invoke({ Step }, take) {
      if (Step === 'createSecret') begun += 1;
      const run = begun === 1 ? struck : undefined;
      const first = run ? run.within(() => take(run)) : take(unwatched);
      if (recovery !== 'a concurrent duplicate') return first;
      await Promise.any([first, take(unwatched)]);
      await first.catch(() => undefined);
    },
  });
  const agent = await fleet.addAgent(group, { 'keyturn:strategy': strategy });
  if (strategy === 'dual-user') await server.query(`ALTER ROLE ${group}_a SET work_mem = '8MB'`);
  const before = await currentOf(fleet, agent);
  const first = await fleet.valueOf(agent);
  const isRotated = async () => (await currentOf(fleet, agent)) !== before;
  const works = async () => asAgent(await fleet.valueOf(agent), `SELECT * FROM ${group}_orders`);
  return {
    async strike(run) {
      struck = run;
      await fleet.rotate(agent);
      struck = undefined;
      // One login can't have two passwords: it fails from setSecret to finishSecret.
      if (strategy === 'dual-user') await works();
    },
    async recover() {
      if (recovery === 'a new token' && !(await isRotated())) {
        const labels = Object.entries(await fleet.labels(agent));
        const [pending] = labels.find(([, stages]) => stages.includes('AWSPENDING')) ?? [];
        if (pending !== undefined)
          await fleet.engine.UpdateSecretVersionStage({
            SecretId: agent.arn,
            VersionStage: 'AWSPENDING',
            RemoveFromVersionId: pending,
          });
        await fleet.rotate(agent);
      }
      if (recovery !== 'the reconciler alone') return;
      const nextRun = async (afterMs: number) => {
        fleet.clock.advance(afterMs);
        await fleet.reconcile();
        await fleet.engine.idle();
      };
      await nextRun(0.5 * hourMs);
      if (!(await isRotated())) await nextRun(33 * dayMs);
    },
    async expectWell() {
      expect(await isRotated(), 'it has rotated').toBe(true);
      await works();
      if (strategy === 'dual-user') {
        await asAgent(first, `SELECT * FROM ${group}_orders`);
        expect(await asAgent(await fleet.valueOf(agent), 'SHOW work_mem')).toEqual([{ work_mem: '8MB' }]);
      }
      const inProgress = Object.values(await fleet.labels(agent)).filter(
        (stages) => stages.includes('AWSPENDING') && !stages.includes('AWSCURRENT'),
      );
      expect(inProgress, 'rotations in progress').toEqual([]);
      const { password } = (await fleet.valueOf(agent)).reveal();
      expect(leaksOf(fleet.heard.join('\n'), { current: String(password) })).toEqual([]);
      if (recovery !== 'the reconciler alone') return;
      // Nobody announced it. A grace period that no schedule ends is ended by a later run.
      expect(fleet.scheduler.size, 'schedules').toBeLessThanOrEqual(1);
      fleet.clock.advance(2 * hourMs);
      await fleet.reconcile();
      await expect(asAgent(first, 'SELECT 1'), 'the superseded login').rejects.toThrow();
      await works();
      expect((await fleet.reconcile()).findings).toEqual([]);
      const told = fleet.alerts.map(({ backend, state }) => `${backend} ${state}`);
      expect(told, 'alerts, each once').toEqual([...new Set(told)]);
    },
  };
}

async function currentOf(fleet: Fleet, agent: Agent): Promise<string | undefined> {
  return Object.entries(await fleet.labels(agent)).find(([, stages]) => stages.includes('AWSCURRENT'))?.[0];
}

describe('a rotation that is struck at any outside call ends well', () => {
  const cases = matrixOf('rotate-secret');
  for (const strategy of ['dual-user', 'single-user']) {
    for (const recovery of recoveries) {
      cases({
        what: `${strategy}: ended by ${recovery}`,
        least: strategy === 'dual-user' ? 25 : 15,
        mayMiss: recovery === 'a concurrent duplicate',
        arrange: () => rotation(strategy, recovery),
      });
    }
  }
});
