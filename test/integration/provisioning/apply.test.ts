import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endPlannersOf, plannersOf } from '../../../shared/provisioning/converge.ts';
import { readDeclaration } from '../../../shared/provisioning/declaration.ts';
import { endAgent } from '../../../shared/provisioning/end.ts';
import { applyPlan, planFleet } from '../../../shared/provisioning/plan.ts';
import { postgresForTests } from '../rotation/setting.ts';
import { now, type Setting, schemas, settingOn } from './killable-setting.ts';
import { currentOf, declare, type Server } from './setting.ts';

let server: Server;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

const setting = (more: object = {}) => settingOn(server, more);

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
    expect(writes().length).toBeGreaterThan(0);
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
    await applyPlan(await planFleet([readDeclaration({ agentId: id })], plannersOf(parts)), { now });
    await engine.PutSecretValue({ SecretId: secret, SecretString: '{"openai_api_key":"sk-1"}' });
    await apply();
    expect((await currentOf(engine, secret)).reveal()).toMatchObject({
      openai_api_key: 'sk-1',
      username: `${id}_a`,
    });
    await as('SELECT * FROM app.orders');
  });

  it.each<[string, (of: Setting) => Promise<unknown>, string]>([
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
