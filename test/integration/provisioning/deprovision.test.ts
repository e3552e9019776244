import { ListAttachedRolePoliciesCommand } from '@aws-sdk/client-iam';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../local/ports.ts';
import { endPlannersOf, iamPlanners, plannersOf } from '../../../shared/provisioning/converge.ts';
import { endAgent, planEnd } from '../../../shared/provisioning/end.ts';
import { applyPlan, planFleet } from '../../../shared/provisioning/plan.ts';
import { adminOf, asAgent, postgresForTests } from '../rotation/setting.ts';
import { arnOf, deployment, iamForTests, roleWithPolicyOf } from './iam-setting.ts';
import { now, settingOn } from './killable-setting.ts';
import { currentOf, type Server } from './setting.ts';

let server: Server;
let aws: Awaited<ReturnType<typeof iamForTests>>;
beforeAll(async () => {
  [server, aws] = await Promise.all([postgresForTests(), iamForTests()]);
});
afterAll(() => Promise.all([server, aws].map((each) => each[Symbol.asyncDispose]())));

const setting = (more: object = {}) => settingOn(server, more);

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
      `  table app.made goes to ${id}_estate`,
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
    expect(await query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^${id}(_|$)'`)).toEqual([
      { rolname: `${id}_estate` },
    ]);
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

  it.each(['the database', 'Vault'])('takes AWS from the agent though %s is down', async (down) => {
    const { iam } = aws;
    const { id, parts, declaration, engine, secret, adminSecretArn } = await setting();
    const systems = { ...parts, iam: iamPlanners({ iam, deployment }) };
    const [applied] = await applyPlan(await planFleet([declaration], plannersOf(systems)), { now });
    expect(applied?.failed).toBeUndefined();
    await roleWithPolicyOf(id, iam);
    const attached = async () =>
      (await iam.send(new ListAttachedRolePoliciesCommand({ RoleName: id }))).AttachedPolicies;
    expect(await attached()).toMatchObject([{ PolicyArn: arnOf(id) }]);
    const failing = async () => {
      throw new Error('down');
    };
    const port = await freePort();
    const admin = adminOf(server);
    const adminAt = (at: number) =>
      engine.PutSecretValue({
        SecretId: adminSecretArn,
        SecretString: admin.with({ port: at }).serialize().reveal(),
      });
    const end = async (isDown: boolean) => {
      const isVaultDown = isDown && down === 'Vault';
      const isDatabaseDown = isDown && down === 'the database';
      await adminAt(isDatabaseDown ? port : server.port);
      const { postgres } = declaration;
      return endAgent(
        isDatabaseDown && postgres ? { ...declaration, postgres: { ...postgres, port } } : declaration,
        endPlannersOf({ ...systems, vault: isVaultDown ? { plan: failing, end: failing } : undefined }),
        { now },
      );
    };
    const first = await end(true);
    expect(first.failed).toHaveLength(1);
    expect(first.made.map(({ system }) => system)).toContain('IAM');
    expect(await attached()).toEqual([]);
    expect(await systems.iam.plan(declaration)).toMatchObject({ changes: [{ action: 'create' }] });
    expect(await engine.DescribeSecret({ SecretId: secret })).not.toHaveProperty('DeletedDate');
    const second = await end(false);
    expect(second.failed).toEqual([]);
    expect(second.made.map(({ system }) => system)).not.toContain('IAM');
    expect(await engine.DescribeSecret({ SecretId: secret })).toHaveProperty('DeletedDate');
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
