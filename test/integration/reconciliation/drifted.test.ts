import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import { planPostgres } from '../../../shared/provisioning/postgres.ts';
import { rowsFor } from '../../runbook/page.ts';
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

const put = (SecretId: string, value: object) =>
  fleet.engine.PutSecretValue({ SecretId, SecretString: JSON.stringify(value) });
const adminOf = ({ postgres }: Declaration) => postgres?.adminSecretArn ?? '';
const grantless = async ({ group }: Agent, setting: string) => {
  await server.query(`CREATE ROLE ${group}_admin LOGIN PASSWORD 'p'; ${setting}`);
  return { engine: 'postgres', username: `${group}_admin`, password: 'p' };
};

/** What only a person can mend, each as somebody brings it about. */
const impossible: readonly {
  what: string;
  group: string;
  make: (agent: Agent) => Promise<unknown>;
  says: RegExp;
}[] = [
  {
    what: 'the admin login may not',
    group: 'unpowered',
    make: async (agent) => put(adminOf(await fleet.declare(agent)), await grantless(agent, '')),
    says: /^The admin login may not bring about/,
  },
  {
    what: 'a role of the name is not shown to be the agent',
    group: 'unproven',
    async make(agent) {
      await fleet.declare(agent);
      await server.query(`ALTER ROLE ${agent.group}_a PASSWORD 'changed'`);
    },
    says: /^The role unproven exists/,
  },
  {
    what: 'the secret is of another server',
    group: 'otherserver',
    async make(agent) {
      await fleet.declare(agent);
      await put(agent.arn, (await fleet.valueOf(agent)).with({ port: 1 }).reveal());
    },
    says: /^postgres\.host: /,
  },
  {
    what: 'the secret is of another database',
    group: 'otherbase',
    make: (agent) => fleet.declare(agent, { database: 'template1' }),
    says: /^postgres\.database: /,
  },
  {
    what: 'the secret is of another agent',
    group: 'otheragent',
    async make(agent) {
      await fleet.declare(agent);
      await put(agent.arn, (await fleet.valueOf(agent)).with({ username: 'admin' }).reveal());
    },
    says: /^agentId: /,
  },
  {
    what: 'a schema is gone',
    group: 'schemaless',
    make: (agent) => fleet.declare(agent, { schemas: { gone: { privileges: ['USAGE'] } } }),
    says: /^postgres\.schemas\.gone: postgres has no such schema$/,
  },
  {
    what: 'a table is gone',
    group: 'tableless',
    make: (agent) => fleet.declare(agent, { schemas: { app: { tables: { gone: ['SELECT'] } } } }),
    says: /^postgres\.schemas\.app\.tables\.gone: there is no such table$/,
  },
  {
    what: 'the admin secret is of another server',
    group: 'adminaway',
    make: async (agent) =>
      put(adminOf(await fleet.declare(agent)), { username: 'a', password: 'p', host: 'elsewhere' }),
    says: /^postgres\.adminSecretArn: /,
  },
  {
    what: 'the admin secret has no value',
    group: 'adminless',
    async make(agent) {
      const { ARN } = await fleet.engine.CreateSecret({ Name: 'keyturn/admin/empty' });
      await fleet.declare(agent, { adminSecretArn: ARN });
    },
    says: /^The admin secret \(postgres\.adminSecretArn\) has no/,
  },
  {
    what: 'the secret holds no login',
    group: 'loginless',
    async make(agent) {
      await fleet.declare(agent);
      await server.query(`COMMENT ON ROLE loginless IS 'Agent loginless, provisioned by Keyturn'`);
      await put(agent.arn, {});
    },
    says: /^agents\/loginless\/credentials has no/,
  },
  {
    what: 'the password is one that no verifier can be made of',
    group: 'umlauted',
    async make(agent) {
      await fleet.declare(agent);
      await server.query(`COMMENT ON ROLE umlauted IS 'Agent umlauted, provisioned by Keyturn'`);
      await put(agent.arn, (await fleet.valueOf(agent)).with({ password: 'canary-pässword' }).reveal());
    },
    says: /^Secret field password: expected printable ASCII characters, and no others$/,
  },
  {
    what: 'the database is gone',
    group: 'baseless',
    async make(agent) {
      await fleet.declare(agent, { database: 'gone' });
      await put(agent.arn, (await fleet.valueOf(agent)).with({ dbname: 'gone' }).reveal());
    },
    says: /^PostgreSQL has no such database \(3D000\)$/,
  },
  {
    what: 'PostgreSQL refuses a statement',
    group: 'frozen',
    async make(agent) {
      const freeze = `ALTER ROLE ${agent.group}_admin SUPERUSER;
        CREATE FUNCTION frozen() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
          IF session_user = '${agent.group}_admin' THEN RAISE 'no changes on a Friday'; END IF; END $$;
        CREATE EVENT TRIGGER frozen ON ddl_command_start EXECUTE FUNCTION frozen()`;
      await put(adminOf(await fleet.declare(agent)), await grantless(agent, freeze));
    },
    says: /^PostgreSQL refused a statement \(P0001\)$/,
  },
];

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

  it.each(impossible)(
    'need a person where $what, and the page has what to do',
    async ({ group, make, says }) => {
      const agent = await fleet.addAgent(group);
      await make(agent);
      const { findings } = await fleet.reconcile({ secrets: [agent.name] });
      expect(findings).toMatchObject([{ kind: 'target-drifted', outcome: 'needs a person' }]);
      const [, message = ''] = /^can't be made as declared: (.+)$/.exec(findings[0]?.explanation ?? '') ?? [];
      expect(message).toMatch(says);
      expect(rowsFor('target-drifted', message)).toHaveLength(1);
    },
  );
});
