import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RotationEvent } from '../../../local/secrets-manager/rotation.ts';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import { planPostgres } from '../../../shared/provisioning/postgres.ts';
import {
  type Agent,
  dayMs,
  type Fleet,
  fleetOn,
  hourMs,
  secretsManagerOf,
  unwatched,
} from '../../integration/reconciliation/fleet.ts';
import { asAgent, postgresForTests } from '../../integration/rotation/setting.ts';
import { alertsOf } from './alerts-of-findings.ts';
import { outsideOfRuns, watchPostgres } from './killer.ts';
import { matrixOf, type Trial } from './matrix.ts';

let watched: Disposable;
let server: Awaited<ReturnType<typeof postgresForTests>>;
let usedFor: string | undefined;
beforeAll(() => {
  watched = watchPostgres();
});
afterAll(async () => {
  watched[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

/** A server for each scenario: a run asks for all logins of its server, and a thousand trials leave thousands. */
async function startServer(scenario: string): Promise<void> {
  if (usedFor === scenario) return;
  await server?.[Symbol.asyncDispose]();
  server = await postgresForTests();
  usedFor = scenario;
}

interface Scenario {
  readonly kind: string;
  /** Calls that a run is known to make for it. */
  readonly least: number;
  /** Only a person can: it is found again and again. */
  readonly needsPerson?: boolean;
  /** Causes the finding. */
  arrange(fleet: Fleet, agent: Agent): Promise<void>;
  /** What happens when a step of a rotation is over, and Secrets Manager not told yet. */
  afterStep?(fleet: Fleet, event: RotationEvent): Promise<void>;
  healed(fleet: Fleet, agent: Agent, first: SecretJson): Promise<void>;
}

/** Rotated twice, the first login would have had to go, with its grace running. */
async function rotatedOnce(fleet: Fleet, agent: Agent, first: SecretJson): Promise<void> {
  expect((await fleet.valueOf(agent)).reveal().username).toBe(`${agent.group}_b`);
  await asAgent(first, 'SELECT 1');
}

/** Declares what the agent is, once it is as `keyturn apply` would leave it: made so in each trial, that takes as long as the trial. */
async function declared(fleet: Fleet, agent: Agent, more: object = {}): Promise<Declaration> {
  const { group } = agent;
  await server.query(`CREATE SCHEMA ${group}_app; CREATE TABLE ${group}_app.orders (id int);
    COMMENT ON ROLE ${group} IS 'Agent ${group}, provisioned by Keyturn'; REVOKE CREATE ON SCHEMA public FROM ${group};
    CREATE ROLE ${group}_b NOLOGIN IN ROLE ${group}; ALTER ROLE ${group}_b SET role = '${group}';
    GRANT USAGE ON SCHEMA ${group}_app TO ${group}; GRANT SELECT ON ${group}_app.orders TO ${group}`);
  const schemas = { [`${group}_app`]: { tables: { orders: ['SELECT'] } } };
  return fleet.declare(agent, { schemas }, more);
}

it('what is declared in these trials is what the agent is', async () => {
  await startServer('declared');
  const fleet = fleetOn(server);
  const declaration = await declared(fleet, await fleet.addAgent('declared'));
  const secretsManager = secretsManagerOf(fleet.engine, unwatched);
  expect(await planPostgres(declaration, { secretsManager })).toEqual([]);
});

const isOn = async ({ engine }: Fleet, { arn }: Agent) =>
  (await engine.DescribeSecret({ SecretId: arn })).RotationEnabled;

const scenarios: Readonly<Record<string, Scenario>> = {
  'an overdue rotation': {
    kind: 'rotation-overdue',
    least: 14,
    arrange: async (fleet) => fleet.clock.advance(33 * dayMs),
    healed: rotatedOnce,
  },
  'a rotation that is stuck': {
    kind: 'rotation-stuck',
    least: 14,
    async arrange(fleet, agent) {
      fleet.failRotations((step) => {
        if (step === 'setSecret') throw new Error('the function is out of memory');
      });
      await fleet.rotate(agent);
      fleet.failRotations(undefined);
      fleet.clock.advance(0.5 * hourMs);
    },
    healed: rotatedOnce,
  },
  'a rotation that is stuck, and began before the one before it was over': {
    kind: 'rotation-stuck',
    least: 14,
    async arrange(fleet, agent) {
      await fleet.rotate(agent);
      fleet.failRotations(undefined);
      fleet.clock.advance(0.5 * hourMs);
    },
    async afterStep(fleet, { Step, SecretId }) {
      const { Versions } = await fleet.engine.ListSecretVersionIds({ SecretId, IncludeDeprecated: true });
      if (Step !== 'finishSecret' || Versions.length > 2) return;
      await fleet.engine.RotateSecret({ SecretId });
      fleet.clock.advance(5_000);
      fleet.failRotations((step) => {
        if (step === 'setSecret') throw new Error('the function is out of memory');
      });
    },
    async healed(fleet, agent) {
      expect((await fleet.valueOf(agent)).reveal().username).toBe(`${agent.group}_a`);
      const { LastRotatedDate, LastChangedDate } = await fleet.engine.DescribeSecret({ SecretId: agent.arn });
      expect(LastRotatedDate?.getTime()).toBeGreaterThanOrEqual(LastChangedDate.getTime());
    },
  },
  'a missed revocation': {
    kind: 'superseded-still-valid',
    least: 12,
    async arrange(fleet, agent) {
      await fleet.rotate(agent);
      fleet.clock.advance(2 * hourMs);
    },
    async healed(_fleet, _agent, first) {
      await expect(asAgent(first, 'SELECT 1')).rejects.toThrow();
    },
  },
  'a lost end of a grace period': {
    kind: 'grace-schedule-lost',
    least: 12,
    async arrange(fleet, agent) {
      await fleet.rotate(agent);
      fleet.clock.advance(0.5 * hourMs);
    },
    async healed(fleet, _agent, first) {
      expect(fleet.scheduler.size).toBe(1);
      await asAgent(first, 'SELECT 1');
    },
  },
  'rotation that is off against its declaration': {
    kind: 'rotation-off',
    least: 12,
    async arrange(fleet, agent) {
      await declared(fleet, agent, { rotationDays: 7 });
      await fleet.engine.CancelRotateSecret({ SecretId: agent.arn });
      fleet.clock.advance(2 * hourMs);
    },
    async healed(fleet, agent, first) {
      expect(await isOn(fleet, agent)).toBe(true);
      // To turn it on is not to rotate.
      expect((await fleet.valueOf(agent)).serialize().reveal()).toBe(first.serialize().reveal());
    },
  },
  'rotation that is off, and nothing says whether it should be': {
    kind: 'rotation-off',
    least: 12,
    needsPerson: true,
    async arrange(fleet, agent) {
      await fleet.engine.CancelRotateSecret({ SecretId: agent.arn });
      fleet.clock.advance(2 * hourMs);
    },
    async healed(fleet, agent) {
      expect(await isOn(fleet, agent)).toBe(false);
    },
  },
  'grants that somebody changed': {
    kind: 'target-drifted',
    least: 20,
    async arrange(fleet, agent) {
      await declared(fleet, agent);
      const orders = `${agent.group}_app.orders`;
      await server.query(
        `REVOKE SELECT ON ${orders} FROM ${agent.group}; GRANT DELETE ON ${orders} TO ${agent.group}`,
      );
    },
    async healed(fleet, agent) {
      const orders = `${agent.group}_app.orders`;
      await asAgent(await fleet.valueOf(agent), `SELECT * FROM ${orders}`);
      await expect(asAgent(await fleet.valueOf(agent), `DELETE FROM ${orders}`)).rejects.toThrow('denied');
    },
  },
};

const recoveries = ['the next run', 'a concurrent duplicate'] as const;
let count = 0;

async function reconciliation(
  what: string,
  scenario: Scenario,
  recovery: (typeof recoveries)[number],
): Promise<Trial> {
  count += 1;
  await startServer(what);
  const { kind, needsPerson = false } = scenario;
  // Rotation and revocation are other functions, which are killed in tests of their own.
  const fleet = fleetOn(server, {
    async invoke(event, take) {
      await outsideOfRuns(() => take(unwatched));
      await outsideOfRuns(async () => scenario.afterStep?.(fleet, event));
    },
    elsewhere: outsideOfRuns,
  });
  const agent = await fleet.addAgent(`killed${count}`);
  const first = await fleet.valueOf(agent);
  await scenario.arrange(fleet, agent);
  const alerts = alertsOf(kind, fleet);
  const works = async () => asAgent(await fleet.valueOf(agent), `SELECT * FROM ${agent.group}_orders`);
  return {
    strike: (run) =>
      alerts.striking(async () => {
        const struck = run.within(() => fleet.reconcile({}, run));
        if (recovery === 'a concurrent duplicate') await Promise.allSettled([struck, fleet.reconcile()]);
        await struck.finally(() => fleet.engine.idle());
        // At every instant what the secret holds works.
        await works();
      }),
    async recover() {
      // A claim on an alert that a killed run held runs out first.
      fleet.clock.advance(60_000);
      await fleet.reconcile();
      await fleet.engine.idle();
    },
    async expectWell() {
      await scenario.healed(fleet, agent, first);
      await works();
      const { findings } = await fleet.reconcile();
      expect(findings.map((one) => one.kind)).toEqual(needsPerson ? [kind] : []);
      await alerts.expectTold({ repairs: !needsPerson });
    },
  };
}

describe('a reconciler that is struck at any outside call leaves what the next run heals', () => {
  const cases = matrixOf('reconcile-fleet');
  for (const [what, scenario] of Object.entries(scenarios)) {
    for (const recovery of recoveries) {
      const mayMiss = recovery === 'a concurrent duplicate';
      const least = mayMiss ? 1 : scenario.least;
      cases({
        what: `${what}: ended by ${recovery}`,
        least,
        mayMiss,
        arrange: () => reconciliation(what, scenario, recovery),
      });
    }
  }
});
