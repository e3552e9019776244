import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endPlannersOf, plannersOf } from '../../../shared/provisioning/converge.ts';
import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import { endAgent, planEnd } from '../../../shared/provisioning/end.ts';
import { applyPlan, planFleet } from '../../../shared/provisioning/plan.ts';
import { inMemoryDeclarations } from '../../unit/provisioning/in-memory-declarations.ts';
import { asAgent, postgresForTests } from '../rotation/setting.ts';
import { currentOf, databaseOn, declare, functionArn, type Server, secretsFor } from './setting.ts';

let server: Server;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

const schemas = {
  app: { privileges: ['USAGE', 'CREATE'], allTables: ['SELECT'], tables: { orders: ['INSERT'] } },
};
const now = () => new Date();
const { query: sends } = pg.Client.prototype;
let count = 0;

/** Everything that changes anything outside, counted; the `killedAt`th dies before it happens. */
async function setting(more: object = {}) {
  count += 1;
  const id = `agent-${count}`;
  const database = `fleet${count}`;
  let writes: string[] = [];
  let killedAt = Number.POSITIVE_INFINITY;
  const wrote = (what: string) => {
    writes.push(what);
    if (writes.length === killedAt) throw new Error('killed');
  };
  const query = await databaseOn(server, database);
  const { engine, client, adminSecretArn } = await secretsFor(server, (operation) => {
    if (!/^(Describe|Get|List)/.test(operation)) wrote(operation);
  });
  const parts = {
    secretsManager: client,
    rotationFunctionArn: functionArn,
    kmsKeyId: 'arn:aws:kms:eu-central-1:000000000000:key/1',
    declarations: inMemoryDeclarations(() => wrote('declaration')),
    recoveryDays: 7,
  };
  const declaration = declare(server, id, { adminSecretArn, database, schemas }, more);
  const plan = (of: Declaration = declaration) => planFleet([of], plannersOf(parts));
  const apply = async (of: Declaration = declaration) => {
    const plans = await plan(of);
    const [failed] = plans.filter(({ error }) => error !== undefined);
    if (failed) throw failed.error;
    return applyPlan(plans, { now });
  };
  const end = () => endAgent(declaration, endPlannersOf(parts), { now });
  const secret = `agents/${id}/credentials`;
  const run = async <T>(work: () => Promise<T>, at = Number.POSITIVE_INFINITY): Promise<T> => {
    writes = [];
    killedAt = at;
    pg.Client.prototype.query = new Proxy(sends, {
      async apply(target, self, args: [string]) {
        if (/^(CREATE|ALTER|GRANT|REVOKE|COMMENT|DROP|REASSIGN|SET|COMMIT|SELECT pg_terminate)/.test(args[0]))
          wrote(args[0]);
        return Reflect.apply(target, self, args);
      },
    });
    try {
      return await work();
    } finally {
      pg.Client.prototype.query = sends;
      killedAt = Number.POSITIVE_INFINITY;
    }
  };
  return {
    id,
    engine,
    secret,
    parts,
    declaration,
    plan,
    apply,
    end,
    run,
    query,
    adminSecretArn,
    database,
    writes: () => writes,
    as: async (...statements: string[]) => asAgent(await currentOf(engine, secret), ...statements),
  };
}

describe('apply', () => {
  it('makes the secret, the logins and their rotation, in that order', async () => {
    const { apply, id, engine, secret, as } = await setting();
    const [outcome] = await apply();
    expect(outcome?.failed).toBeUndefined();
    expect(outcome?.made.map(({ system, resource }) => `${system}: ${resource.split(' on ')[0]}`)).toEqual([
      `Keyturn: declaration of ${id}`,
      `Secrets Manager: secret ${secret}`,
      `PostgreSQL: role ${id}`,
      `Secrets Manager: rotation of ${secret}`,
    ]);
    await engine.idle();
    expect(engine.rotationOf((await engine.DescribeSecret({ SecretId: secret })).ARN)?.state).toBe(
      'succeeded',
    );
    await as('SELECT * FROM app.orders');
    await engine.RotateSecret({ SecretId: secret });
    await engine.idle();
    expect((await currentOf(engine, secret)).reveal().username).toBe(`${id}_b`);
    await as('SELECT * FROM app.orders');
  });

  it('writes nothing the second time', async () => {
    const { apply, run, writes, plan } = await setting();
    await run(apply);
    expect(writes().length).toBeGreaterThan(5);
    await run(apply);
    expect(writes()).toEqual([]);
    expect((await plan())[0]).toMatchObject({ changes: [], notes: [] });
  });

  it('planning writes nothing', async () => {
    const { plan, run, writes, engine, secret } = await setting();
    await run(plan);
    expect(writes()).toEqual([]);
    await expect(engine.DescribeSecret({ SecretId: secret })).rejects.toThrow();
  });

  it('killed at any write and run again, it is whole', async () => {
    for (let at = 1; ; at += 1) {
      const { apply, run, plan, as, writes } = await setting();
      await run(() => apply().catch(() => undefined), at);
      const isReached = writes().length >= at;
      const [again] = await apply();
      expect(again?.failed).toBeUndefined();
      expect((await plan())[0]?.changes).toEqual([]);
      await as('SELECT * FROM app.orders');
      if (!isReached) break;
    }
  }, 120_000);

  it('never changes a value that is there, and says what is to be filled in', async () => {
    const { apply, plan, engine, secret, query, id } = await setting({ staticFields: ['openai_api_key'] });
    await apply();
    expect((await plan())[0]?.notes).toEqual([`${secret}: openai_api_key is to be filled in`]);
    const filled = (await currentOf(engine, secret)).with({ openai_api_key: 'sk-1', more: 1 });
    await engine.PutSecretValue({ SecretId: secret, SecretString: filled.serialize().reveal() });
    await query(`DROP ROLE "${id}_b"`);
    await apply();
    expect((await currentOf(engine, secret)).reveal()).toEqual(filled.reveal());
    expect((await plan())[0]?.notes).toEqual([]);
  });

  it('gives a login to a secret that had none, and keeps its other fields', async () => {
    const { apply, engine, secret, id, parts, as } = await setting();
    const { readDeclaration } = await import('../../../shared/provisioning/declaration.ts');
    await applyPlan(await planFleet([readDeclaration({ agentId: id })], plannersOf(parts)), { now });
    await engine.PutSecretValue({ SecretId: secret, SecretString: '{"openai_api_key":"sk-1"}' });
    await apply();
    expect((await currentOf(engine, secret)).reveal()).toMatchObject({
      openai_api_key: 'sk-1',
      username: `${id}_a`,
    });
    await as('SELECT * FROM app.orders');
  });

  it.each<[string, (of: Awaited<ReturnType<typeof setting>>) => Promise<unknown>, string]>([
    [
      'a tag',
      ({ engine, secret }) =>
        engine.TagResource({ SecretId: secret, Tags: [{ Key: 'keyturn:grace', Value: '9d' }] }),
      '- tag keyturn:grace: 9d',
    ],
    [
      'a tag that is gone',
      ({ engine, secret }) => engine.UntagResource({ SecretId: secret, TagKeys: ['keyturn:mirror'] }),
      '+ tag keyturn:mirror:',
    ],
    [
      'the key',
      ({ engine, secret }) => engine.UpdateSecret({ SecretId: secret, KmsKeyId: 'alias/other' }),
      '- key alias/other',
    ],
    [
      'rotation that was turned off',
      ({ engine, secret }) => engine.CancelRotateSecret({ SecretId: secret }),
      '+ rotation',
    ],
    [
      'the schedule',
      ({ engine, secret }) =>
        engine.RotateSecret({ SecretId: secret, RotationRules: { AutomaticallyAfterDays: 90 } }),
      '+ schedule cron(',
    ],
  ])('makes %s as declared again', async (_, drift, line) => {
    const one = await setting();
    await one.apply();
    await one.engine.idle();
    await drift(one);
    await one.engine.idle();
    expect((await one.plan())[0]?.changes.flatMap(({ diff }) => diff).join('\n')).toContain(line);
    await one.apply();
    expect((await one.plan())[0]?.changes).toEqual([]);
  });

  it("refuses another owner's secret, and makes nothing", async () => {
    const { engine, secret, run, apply, writes } = await setting();
    await engine.CreateSecret({ Name: secret, SecretString: 'theirs' });
    await expect(run(apply)).rejects.toMatchObject({ name: 'AgentSecretTakenError' });
    expect(writes()).toEqual([]);
  });

  it('refuses a declaration that would leave logins or a secret behind', async () => {
    const { apply, id, parts, adminSecretArn, database } = await setting();
    await apply();
    const { readDeclaration } = await import('../../../shared/provisioning/declaration.ts');
    for (const next of [
      readDeclaration({ agentId: id }),
      declare(server, id, { adminSecretArn, database: 'postgres' }),
      declare(server, id, { adminSecretArn, database }, { secret: 'other' }),
    ]) {
      const [plan] = await planFleet([next], plannersOf(parts));
      expect(plan).toMatchObject({ changes: [], error: { name: 'DeclarationError' } });
    }
  });

  it('an agent that fails stops no other', async () => {
    const good = await setting();
    const bad = declare(server, 'bad', {
      adminSecretArn: good.adminSecretArn,
      database: good.database,
      schemas: { nowhere: {} },
    });
    const plans = await planFleet([bad, good.declaration], plannersOf(good.parts));
    expect(plans[0]).toMatchObject({ agentId: 'bad', error: { name: 'DeclarationError' } });
    const outcomes = await applyPlan(plans, { now });
    expect(outcomes).toMatchObject([{ agentId: good.id, made: { length: 4 } }]);
  });

  it('agents of one database are made at the same time, and end at the same time', async () => {
    const { parts, adminSecretArn, database, id } = await setting();
    const fleet = Array.from({ length: 16 }, (_, index) =>
      declare(server, `${id}-${index}`, { adminSecretArn, database, schemas }),
    );
    const outcomes = await applyPlan(await planFleet(fleet, plannersOf(parts)), { now });
    expect(outcomes.filter(({ failed }) => failed)).toEqual([]);
    const plans = await planFleet(fleet, plannersOf(parts));
    expect(plans.flatMap(({ changes }) => changes)).toEqual([]);
    const ended = await Promise.all(fleet.map((each) => endAgent(each, endPlannersOf(parts), { now })));
    expect(ended.flatMap(({ failed }) => failed)).toEqual([]);
  });

  it('a change that fails is named, and those after it are not begun', async () => {
    const { plan, query, engine, secret } = await setting();
    const plans = await plan();
    await query('DROP SCHEMA app CASCADE');
    const [outcome] = await applyPlan(plans, { now });
    expect(outcome).toMatchObject({
      made: { length: 2 },
      failed: { system: 'PostgreSQL', error: { name: 'DeclarationError' } },
    });
    expect((await engine.DescribeSecret({ SecretId: secret })).RotationEnabled).toBeUndefined();
  });
});

describe('deprovision', () => {
  it('cuts rotation, logins and sessions first, then the rest, and what the agent made stays', async () => {
    const { apply, end, engine, secret, id, query, parts, declaration } = await setting();
    await apply();
    await engine.idle();
    await asAgent(
      await currentOf(engine, secret),
      'CREATE TABLE app.made (id int)',
      'INSERT INTO app.made VALUES (7)',
    );
    const { host, port, dbname, username, password } = (await currentOf(engine, secret)).reveal();
    const session = new pg.Client({
      host: String(host),
      port: Number(port),
      database: String(dbname),
      user: String(username),
      password: String(password),
    });
    const ended = new Promise((resolve) => session.on('error', resolve));
    await session.connect();
    const plan = await planEnd(declaration, endPlannersOf(parts));
    expect(plan.changes.flatMap(({ diff }) => diff)).toEqual([
      '- declared',
      '+ being deprovisioned',
      '- rotation',
      `- login ${id}_a`,
      `- 1 open session(s) of ${id}_a`,
      `- secret ${secret}, which can be restored for 7 days`,
      '  table app.made goes to admin',
      `- role ${id}`,
      `- role ${id}_a`,
      `- role ${id}_b`,
      `- declaration of ${id}`,
    ]);
    const outcome = await end();
    await ended;
    expect(outcome.failed).toEqual([]);
    expect(outcome.made.map(({ resource }) => resource.split(' on ')[0])).toEqual([
      `declaration of ${id}`,
      `rotation of ${secret}`,
      `logins of ${id}`,
      `secret ${secret}`,
      `role ${id}`,
      `declaration of ${id}`,
    ]);
    expect(await query('SELECT id FROM app.made')).toEqual([{ id: 7 }]);
    expect(await query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^${id}(_|$)'`)).toEqual([]);
    expect(await end()).toEqual({ agentId: id, made: [], failed: [] });
  });

  it('killed at any write and run again, nothing is left', async () => {
    for (let at = 1; ; at += 1) {
      const { apply, end, run, id, query, engine, secret, writes, parts } = await setting();
      await apply();
      await run(end, at);
      const isReached = writes().length >= at;
      expect((await end()).failed).toEqual([]);
      expect(await query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^${id}(_|$)'`)).toEqual([]);
      expect(await engine.DescribeSecret({ SecretId: secret })).toHaveProperty('DeletedDate');
      expect(await parts.declarations.read(id)).toBeUndefined();
      if (!isReached) break;
    }
  }, 120_000);

  it('of an agent that is going, apply is refused', async () => {
    const { apply, end, run, writes } = await setting();
    await apply();
    await run(end, 2);
    await expect(run(apply)).rejects.toThrow('it is being deprovisioned');
    expect(writes()).toEqual([]);
  });

  it('cuts what it can where a system does not answer, and keeps the rest for the next run', async () => {
    const { apply, parts, declaration, engine, secret, id, query } = await setting();
    await apply();
    const failing = async () => {
      throw new Error('down');
    };
    const planners = endPlannersOf({ ...parts, vault: { plan: failing, end: failing } });
    const { failed } = await endAgent(declaration, planners, { now });
    expect(failed).toHaveLength(1);
    expect(await query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^${id}(_|$)' AND rolcanlogin`)).toEqual(
      [],
    );
    expect(await engine.DescribeSecret({ SecretId: secret })).not.toHaveProperty('DeletedDate');
    expect(await parts.declarations.read(id)).toMatchObject({ phase: 'ending' });
  });

  it("leaves somebody else's role of the same name", async () => {
    const { end, id, query } = await setting();
    await query(`CREATE ROLE "${id}" LOGIN`);
    const { failed } = await end();
    expect(failed).toMatchObject([{ error: { name: 'AlternateTakenError' } }]);
    expect(await query(`SELECT rolname FROM pg_roles WHERE rolname = '${id}' AND rolcanlogin`)).toHaveLength(
      1,
    );
  });
});
