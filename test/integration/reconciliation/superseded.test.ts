import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { scheduleOf } from '../../../shared/provisioning/schedule.ts';
import { adminOf, agentOn, asAgent, loginOn, postgresForTests, secretJson } from '../rotation/setting.ts';
import { type Fleet, fleetOn, hourMs } from './fleet.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
let fleet: Fleet;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => {
  fleet = fleetOn(server);
});

const takes = async (login: Parameters<typeof asAgent>[0]) =>
  asAgent(login, 'SELECT 1').then(
    () => true,
    () => false,
  );

describe('a superseded login', () => {
  it('that the target takes past its grace is alerted, and the command of its runbook page ends it', async () => {
    const agent = await fleet.addAgent('missed');
    const old = await fleet.valueOf(agent);
    await fleet.rotate(agent);
    fleet.clock.advance(0.5 * hourMs);
    expect(await fleet.keyturn(`reconcile --dry-run --secret ${agent.name}`)).toBe(3);
    expect(fleet.said.join()).not.toContain('superseded-still-valid');
    fleet.clock.advance(hourMs);
    expect(await takes(old)).toBe(true);
    expect(await fleet.follow('superseded-still-valid', agent)).toBe(0);
    expect(await takes(old)).toBe(false);
    await asAgent(await fleet.valueOf(agent), 'SELECT * FROM missed_orders');
    expect(fleet.alerts).toMatchObject([{ backend: 'finding:superseded-still-valid', state: 'found' }]);
    expect(fleet.events.map(({ detailType }) => detailType)).toContain('Credential Revoked');
    expect((await fleet.reconcile()).findings).toEqual([]);
  });

  it('that an agent had before Keyturn is ended too, once, where two rotations went by since', async () => {
    await server.query(`CREATE ROLE adopted LOGIN PASSWORD 'before'`);
    const old = loginOn(server, 'adopted', 'before');
    const agent = await fleet.addAgent('adopted', {}, old);
    const value = await fleet.valueOf(agent);
    await fleet.engine.PutSecretValue({ SecretId: agent.arn, SecretString: 'to be filled in' });
    await fleet.engine.PutSecretValue({ SecretId: agent.arn, SecretString: value.serialize().reveal() });
    await fleet.rotate(agent);
    await fleet.rotate(agent);
    fleet.clock.advance(2 * hourMs);
    expect(await takes(old)).toBe(true);
    const kinds = async () => (await fleet.reconcile()).findings.map(({ kind }) => kind);
    expect(await kinds()).toEqual(['superseded-still-valid']);
    expect(await takes(old)).toBe(false);
    expect(await takes(await fleet.valueOf(agent))).toBe(true);
    expect(await kinds()).toEqual([]);
  });

  it('is found without reading a secret of an agent that is well: one question a server', async () => {
    for (const group of ['well_one', 'well_two']) await fleet.rotate(await fleet.addAgent(group));
    const calls: string[] = [];
    const watch = { before: (call: string) => void calls.push(call), after: () => undefined };
    await fleet.reconcile({}, watch);
    expect(calls.filter((call) => /^\w*Secret\w*$/.test(call))).toEqual([
      'ListSecrets',
      'ListSecrets',
      'GetSecretValue',
    ]);
  });

  it('stays where a rotation has just given it a new password', async () => {
    const agent = await fleet.addAgent('again');
    await fleet.rotate(agent);
    fleet.clock.advance(2 * hourMs);
    fleet.failRotations((step) => {
      if (step === 'finishSecret') throw new Error('killed');
    });
    await fleet.rotate(agent);
    const pending = await fleet.valueOf(agent, 'AWSPENDING');
    expect((await fleet.reconcile()).findings).toEqual([]);
    expect(await takes(pending)).toBe(true);
  });

  it('stays where somebody rolled back to it by hand', async () => {
    const agent = await fleet.addAgent('rolled');
    await fleet.rotate(agent);
    const labels = await fleet.labels(agent);
    const idOf = (label: string) => Object.keys(labels).find((id) => labels[id]?.includes(label)) ?? '';
    await fleet.engine.UpdateSecretVersionStage({
      SecretId: agent.arn,
      VersionStage: 'AWSCURRENT',
      MoveToVersionId: idOf('AWSPREVIOUS'),
      RemoveFromVersionId: idOf('AWSCURRENT'),
    });
    fleet.clock.advance(2 * hourMs);
    await fleet.reconcile();
    for (const stage of ['AWSCURRENT', 'AWSPREVIOUS']) {
      expect(await takes(await fleet.valueOf(agent, stage))).toBe(true);
    }
  });

  it('is refused though another credential of its secret is of a server that is away, of which on-call hears', async () => {
    const agent = await fleet.addAgent('bag_one');
    const one = await fleet.valueOf(agent);
    const { ARN: masterarn } = await fleet.engine.CreateSecret({
      Name: 'keyturn/admin/other',
      SecretString: adminOf(server).serialize().reveal(),
    });
    const other = (await agentOn(server, 'bag_two')).with({ masterarn });
    await fleet.engine.PutSecretValue({
      SecretId: agent.arn,
      SecretString: secretJson({ other: other.reveal(), one: one.reveal() }).serialize().reveal(),
    });
    // Versions that were made in one instant have no order.
    fleet.clock.advance(5_000);
    await fleet.rotate(agent);
    fleet.clock.advance(2 * hourMs);
    const admin = (more: object) =>
      fleet.engine.PutSecretValue({
        SecretId: masterarn,
        SecretString: adminOf(server)
          .with({ ...more })
          .serialize()
          .reveal(),
      });
    await admin({ port: 1 });
    expect((await fleet.reconcile()).findings).toMatchObject([
      {
        kind: 'superseded-still-valid',
        outcome: 'waiting',
        explanation: expect.stringContaining('revoke-superseded fails with TargetUnreachableError'),
      },
    ]);
    expect([await takes(one), await takes(other)]).toEqual([false, true]);
    await admin({});
    expect((await fleet.reconcile()).findings).toMatchObject([{ outcome: 'repaired' }]);
    expect([await takes(one), await takes(other)]).toEqual([false, false]);
  });

  it('of a server that does not answer keeps its finding open', async () => {
    const agent = await fleet.addAgent('silent');
    await fleet.rotate(agent);
    fleet.clock.advance(2 * hourMs);
    fleet.failRevocations(true);
    await fleet.reconcile();
    fleet.failRevocations(false);
    await fleet.reconcile();
    await fleet.engine.PutSecretValue({
      SecretId: 'keyturn/admin/postgres',
      SecretString: JSON.stringify({
        engine: 'postgres',
        host: '127.0.0.1',
        port: 1,
        username: 'x',
        password: 'x',
      }),
    });
    fleet.warnings.length = 0;
    await fleet.reconcile();
    expect(fleet.alerts.map(({ state }) => state)).toEqual(['found']);
    expect(fleet.warnings).toEqual([]);
  });
});

describe('the admin secret of a server', () => {
  const superseded = async () =>
    (await fleet.reconcile()).findings.filter(({ kind }) => kind === 'superseded-still-valid');

  it('that names no host, as those that RDS manages, is used where its agents are declared to be', async () => {
    const agent = await fleet.addAgent('hostless');
    await fleet.declare(agent);
    const old = await fleet.valueOf(agent);
    await fleet.rotate(agent);
    fleet.clock.advance(2 * hourMs);
    const SecretString = JSON.stringify({ username: 'admin', password: server.password });
    await fleet.engine.PutSecretValue({ SecretId: 'keyturn/admin/postgres', SecretString });
    expect(await superseded()).toMatchObject([{ secret: agent.name, outcome: 'repaired' }]);
    expect(await takes(old)).toBe(false);
    expect(fleet.warnings).toEqual([]);
  });

  it('that can not be used is logged by the class of its error, and keeps no other server from being asked', async () => {
    const SecretString = JSON.stringify({ username: 'admin', password: 'hunter2' });
    const { ARN } = await fleet.engine.CreateSecret({ Name: 'keyturn/admin/nowhere', SecretString });
    const { ARN: empty } = await fleet.engine.CreateSecret({ Name: 'keyturn/admin/empty' });
    const agent = await fleet.addAgent('elsewhere');
    await fleet.rotate(agent);
    fleet.clock.advance(2 * hourMs);
    expect(await superseded()).toMatchObject([{ secret: agent.name, outcome: 'repaired' }]);
    expect(fleet.warnings).toEqual([
      { message: 'Server not asked', secretArn: ARN, errorClass: 'InvalidSecretError' },
      { message: 'Server not asked', secretArn: empty, errorClass: 'NoCurrentVersionError' },
    ]);
  });
});

describe('the end of a grace period', () => {
  it('that nobody scheduled is alerted, and the command of its runbook page schedules it, once', async () => {
    const agent = await fleet.addAgent('unscheduled', { 'keyturn:grace': '2h' });
    await fleet.rotate(agent);
    expect((await fleet.reconcile()).findings).toEqual([]);
    fleet.clock.advance(0.5 * hourMs);
    expect(await fleet.follow('grace-schedule-lost', agent)).toBe(0);
    expect(fleet.scheduler.size).toBe(1);
    expect(fleet.alerts).toMatchObject([{ backend: 'finding:grace-schedule-lost', state: 'found' }]);
    expect((await fleet.reconcile()).findings).toEqual([]);
    expect(fleet.scheduler.size).toBe(1);
    expect(fleet.alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
  });

  it('whose tag can not be read needs a person', async () => {
    const agent = await fleet.addAgent('unreadable', { 'keyturn:grace': 'soon' });
    await fleet.rotate(agent);
    fleet.clock.advance(hourMs);
    expect(await fleet.keyturn(`reconcile --secret ${agent.name}`)).toBe(3);
    expect(fleet.said.join()).toContain("its tag keyturn:grace can't be read");
  });
});

describe('a secret whose rotation is off', () => {
  it('is alerted and left alone; the commands of its runbook page turn it on', async () => {
    const agent = await fleet.addAgent('off');
    await fleet.engine.CancelRotateSecret({ SecretId: agent.arn });
    fleet.clock.advance(2 * hourMs);
    const { findings } = await fleet.reconcile();
    expect(findings).toMatchObject([{ kind: 'rotation-off', outcome: 'needs a person' }]);
    expect((await fleet.engine.DescribeSecret({ SecretId: agent.arn })).RotationEnabled).toBe(false);
    const before = await fleet.valueOf(agent);
    expect(await fleet.follow('rotation-off', agent)).toBe(0);
    expect((await fleet.engine.DescribeSecret({ SecretId: agent.arn })).RotationEnabled).toBe(true);
    expect((await fleet.valueOf(agent)).serialize().reveal()).toBe(before.serialize().reveal());
    expect(fleet.alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
  });

  it('and is declared to be on has it turned on again, without being rotated', async () => {
    const agent = await fleet.addAgent('declared');
    const declaration = await fleet.declare(agent, {}, { rotationDays: 7 });
    await fleet.engine.CancelRotateSecret({ SecretId: agent.arn });
    fleet.clock.advance(2 * hourMs);
    const before = await fleet.valueOf(agent);
    const { findings } = await fleet.reconcile();
    await fleet.engine.idle();
    expect(findings.filter(({ kind }) => kind === 'rotation-off')).toMatchObject([{ outcome: 'repaired' }]);
    expect(await fleet.engine.DescribeSecret({ SecretId: agent.arn })).toMatchObject({
      RotationEnabled: true,
      RotationRules: scheduleOf(agent.name, declaration),
    });
    expect((await fleet.valueOf(agent)).serialize().reveal()).toBe(before.serialize().reveal());
  });
});
