import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { planPostgres } from '../../../shared/provisioning/postgres.ts';
import { clientOf } from '../rotation/in-process.ts';
import { asAgent, postgresForTests } from '../rotation/setting.ts';
import { type Agent, type Fleet, fleetOn, hourMs } from './fleet.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
let fleet: Fleet;
beforeAll(async () => {
  server = await postgresForTests();
  await server.query('CREATE SCHEMA app; CREATE TABLE app.orders (id int)');
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => {
  fleet = fleetOn(server);
});

/** An agent that is as it was declared: it may read the orders. */
async function declared(group: string): Promise<Agent> {
  const agent = await fleet.addAgent(group);
  const schemas = { app: { tables: { orders: ['SELECT'] } } };
  const declaration = await fleet.declare(agent, { schemas });
  await server.query(`COMMENT ON ROLE ${group} IS 'Agent ${group}, provisioned by Keyturn'`);
  for (const change of await planPostgres(declaration, { secretsManager: clientOf(fleet.engine) }))
    await change.apply();
  return agent;
}

describe("an agent's roles that somebody changed by hand", () => {
  it('are alerted, and the command of the runbook page makes them as declared', async () => {
    const agent = await declared('grants');
    expect((await fleet.reconcile()).findings).toEqual([]);
    await server.query('REVOKE SELECT ON app.orders FROM grants; GRANT DELETE ON app.orders TO grants');
    expect(await fleet.keyturn(`reconcile --dry-run --secret ${agent.name}`)).toBe(3);
    expect(fleet.said.join()).toContain('SELECT on table app.orders');
    await expect(asAgent(await fleet.valueOf(agent), 'SELECT * FROM app.orders')).rejects.toThrow('denied');
    expect(await fleet.follow('target-drifted', agent)).toBe(0);
    await asAgent(await fleet.valueOf(agent), 'SELECT * FROM app.orders');
    await expect(asAgent(await fleet.valueOf(agent), 'DELETE FROM app.orders')).rejects.toThrow('denied');
    expect(fleet.alerts).toMatchObject([{ backend: 'finding:target-drifted', state: 'found' }]);
    await fleet.reconcile();
    expect(fleet.alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
  });

  it('are a login that was dropped too: it is made again with the password of the secret', async () => {
    const agent = await declared('dropped');
    await server.query('DROP ROLE dropped_a');
    await fleet.reconcile();
    await asAgent(await fleet.valueOf(agent), 'SELECT * FROM app.orders');
  });

  it('are found within a day by the hourly looks, each of which takes a part of the fleet', async () => {
    await declared('daily');
    await server.query('REVOKE SELECT ON app.orders FROM daily');
    const found: number[] = [];
    for (let hour = 0; hour < 24; hour += 1) {
      const { findings } = await fleet.reconcile({ isScheduled: true });
      found.push(findings.filter(({ kind }) => kind === 'target-drifted').length);
      fleet.clock.advance(hourMs);
    }
    expect(found.filter((count) => count === 1)).toHaveLength(1);
  });

  it('need a person where they can not be made as declared', async () => {
    const agent = await fleet.addAgent('elsewhere');
    await fleet.declare(agent, { database: 'another' });
    const { findings } = await fleet.reconcile({ secrets: [agent.name] });
    expect(findings).toMatchObject([{ kind: 'target-drifted', outcome: 'needs a person' }]);
  });
});
