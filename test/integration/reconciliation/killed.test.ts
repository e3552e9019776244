import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { asAgent, postgresForTests } from '../rotation/setting.ts';
import { type Agent, dayMs, type Fleet, fleetOn, hourMs, type Watch } from './fleet.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

class Killed extends Error {}

const reads = /^(List|Describe|Get|read|GET)/;

/** Dies at the nth point: before an outside call, or after one that changed something. It makes no other call. */
function killedAt(at: number): Watch & { readonly isDead: () => boolean } {
  let points = 0;
  let isDead = false;
  let last = '';
  const pass = () => {
    points += 1;
    if (points === at) isDead = true;
    if (isDead) throw new Killed();
  };
  return {
    before(call) {
      last = call;
      pass();
    },
    after() {
      if (!reads.test(last)) pass();
    },
    isDead: () => isDead,
  };
}

interface Scenario {
  /** Causes the finding. */
  arrange(fleet: Fleet, agent: Agent): Promise<void>;
  healed(fleet: Fleet, agent: Agent, first: SecretJson): Promise<void>;
}

const scenarios: Readonly<Record<string, Scenario>> = {
  'rotation-overdue': {
    arrange: async (fleet) => fleet.clock.advance(33 * dayMs),
    // Rotated twice, the first login would have had to go, with its grace running.
    async healed(fleet, agent, first) {
      expect((await fleet.valueOf(agent)).reveal().username).toBe(`${agent.group}_b`);
      await asAgent(first, 'SELECT 1');
    },
  },
  'rotation-stuck': {
    async arrange(fleet, agent) {
      fleet.failRotations((step) => {
        if (step === 'setSecret') throw new Killed();
      });
      await fleet.rotate(agent);
      fleet.failRotations(undefined);
      fleet.clock.advance(0.5 * hourMs);
    },
    async healed(fleet, agent, first) {
      expect((await fleet.valueOf(agent)).reveal().username).toBe(`${agent.group}_b`);
      await asAgent(first, 'SELECT 1');
    },
  },
  'superseded-still-valid': {
    async arrange(fleet, agent) {
      await fleet.rotate(agent);
      fleet.clock.advance(2 * hourMs);
    },
    async healed(_fleet, _agent, first) {
      await expect(asAgent(first, 'SELECT 1')).rejects.toThrow();
    },
  },
  'grace-schedule-lost': {
    async arrange(fleet, agent) {
      await fleet.rotate(agent);
      fleet.clock.advance(0.5 * hourMs);
    },
    async healed(fleet, _agent, first) {
      expect(fleet.scheduler.size).toBe(1);
      await asAgent(first, 'SELECT 1');
    },
  },
};

let count = 0;

async function converges(kind: string, at: number): Promise<boolean> {
  const scenario = scenarios[kind];
  if (!scenario) throw new Error(`no scenario ${kind}`);
  count += 1;
  const fleet = fleetOn(server);
  const agent = await fleet.addAgent(`killed${count}`);
  const first = await fleet.valueOf(agent);
  await scenario.arrange(fleet, agent);
  const kill = killedAt(at);
  await fleet.reconcile({}, kill).catch(() => undefined);
  await fleet.engine.idle();
  // At every instant what the secret holds works.
  await asAgent(await fleet.valueOf(agent), `SELECT * FROM ${agent.group}_orders`);
  // A claim on an alert that a killed run held runs out first.
  fleet.clock.advance(60_000);
  await fleet.reconcile();
  await fleet.engine.idle();
  await scenario.healed(fleet, agent, first);
  await asAgent(await fleet.valueOf(agent), `SELECT * FROM ${agent.group}_orders`);
  const found = fleet.alerts.filter(
    ({ backend, state }) => backend === `finding:${kind}` && state === 'found',
  );
  // A run that died once it had repaired found it alone. Sent twice only where it died as SNS had taken it.
  expect(found.length).toBeLessThanOrEqual(2);
  expect((await fleet.reconcile()).findings).toEqual([]);
  return kill.isDead();
}

describe('a reconciler that is killed before or after any outside call leaves what the next one heals', () => {
  it.each(Object.keys(scenarios))(
    '%s',
    async (kind) => {
      let at = 1;
      while (await converges(kind, at)) at += 1;
      // Fewer points would mean that the calls are no longer seen.
      expect(at).toBeGreaterThan(15);
    },
    180_000,
  );

  it.each(Object.keys(scenarios))('%s, as do three at the same time', async (kind) => {
    const scenario = scenarios[kind];
    if (!scenario) throw new Error(`no scenario ${kind}`);
    count += 1;
    const fleet = fleetOn(server);
    const agent = await fleet.addAgent(`raced${count}`);
    const first = await fleet.valueOf(agent);
    await scenario.arrange(fleet, agent);
    await Promise.all([fleet.reconcile(), fleet.reconcile(), fleet.reconcile()]);
    await fleet.engine.idle();
    await scenario.healed(fleet, agent, first);
    expect(fleet.alerts.filter(({ state }) => state === 'found')).toHaveLength(1);
  });
});
