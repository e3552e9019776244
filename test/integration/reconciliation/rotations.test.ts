import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { abandon, incompleteRotation } from '../../../functions/reconcile-fleet/rotation-stuck.ts';
import { versionDates } from '../../../shared/labels/read.ts';
import { rotateOnce } from '../../../shared/reconciliation/rotate-once.ts';
import { clientOf } from '../rotation/in-process.ts';
import { asAgent, postgresForTests } from '../rotation/setting.ts';
import { type Agent, dayMs, type Fleet, fleetOn, hourMs, unwatched, type Watch } from './fleet.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
let fleet: Fleet;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => {
  fleet = fleetOn(server);
});

const pendingOf = (labels: Readonly<Record<string, readonly string[]>>) =>
  Object.keys(labels).find((id) => labels[id]?.join() === 'AWSPENDING');

describe('a rotation that its schedule missed', () => {
  it('is alerted, and the command of its runbook page rotates it, once', async () => {
    const agent = await fleet.addAgent('missed');
    fleet.clock.advance(33 * dayMs);
    const first = await fleet.valueOf(agent);
    expect(await fleet.keyturn(`reconcile --dry-run --secret ${agent.name}`)).toBe(3);
    expect(fleet.said.join()).toContain('would be repaired');
    expect(fleet.alerts).toEqual([]);
    expect(await fleet.follow('rotation-overdue', agent)).toBe(0);
    const second = await fleet.valueOf(agent);
    expect(second.reveal().username).toBe('missed_b');
    await asAgent(second, 'SELECT * FROM missed_orders');
    await asAgent(first, 'SELECT * FROM missed_orders');
    expect(fleet.alerts).toMatchObject([{ backend: 'finding:rotation-overdue', state: 'found' }]);
    await fleet.reconcile();
    await fleet.engine.idle();
    expect((await fleet.valueOf(agent)).serialize().reveal()).toBe(second.serialize().reveal());
    expect(fleet.alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
    expect(fleet.events.map(({ detailType }) => detailType)).toEqual(['Finding Opened']);
  });

  it('is begun once by reconcilers that run at the same time', async () => {
    const agent = await fleet.addAgent('race');
    fleet.clock.advance(33 * dayMs);
    await Promise.all([fleet.reconcile(), fleet.reconcile(), fleet.reconcile()]);
    await fleet.engine.idle();
    expect((await fleet.valueOf(agent)).reveal().username).toBe('race_b');
    expect(Object.keys(await fleet.labels(agent))).toHaveLength(2);
  });
});

it('what a run has no time for is left to the next, and told as waiting', async () => {
  const agent = await fleet.addAgent('late');
  fleet.clock.advance(33 * dayMs);
  fleet.giveTime(60_000);
  const { findings, isFinished } = await fleet.reconcile();
  expect([isFinished, findings.map(({ outcome }) => outcome)]).toEqual([false, ['waiting']]);
  expect((await fleet.valueOf(agent)).reveal().username).toBe('late_a');
  fleet.giveTime(900_000);
  expect((await fleet.reconcile()).isFinished).toBe(true);
  await fleet.engine.idle();
  expect((await fleet.valueOf(agent)).reveal().username).toBe('late_b');
  expect(fleet.alerts).toHaveLength(1);
});

it('a rotation that runs is no finding of a run that has no time to look at it', async () => {
  const agent = await fleet.addAgent('running');
  fleet.failRotations((step) => {
    if (step === 'finishSecret') throw new Error('killed');
  });
  await fleet.rotate(agent);
  expect(pendingOf(await fleet.labels(agent))).toBeDefined();
  fleet.giveTime(60_000);
  const { findings, isFinished } = await fleet.reconcile();
  expect([isFinished, findings]).toEqual([false, []]);
  expect([fleet.alerts, fleet.events]).toEqual([[], []]);
});

it('a stuck rotation that a run has no time to look at stays open', async () => {
  const agent = await fleet.addAgent('open');
  await server.query('CREATE ROLE open_b LOGIN');
  await fleet.rotate(agent);
  fleet.clock.advance(20 * 60_000);
  await fleet.reconcile();
  fleet.giveTime(60_000);
  await fleet.reconcile();
  fleet.giveTime(900_000);
  await fleet.reconcile();
  expect(fleet.alerts.map(({ state }) => state)).toEqual(['found']);
});

it('a secret that can not be looked at keeps no other from it', async () => {
  const [broken, well] = [await fleet.addAgent('broken'), await fleet.addAgent('well')];
  fleet.failRotations((step) => {
    if (step === 'finishSecret') throw new Error('killed');
  });
  for (const agent of [broken, well]) await fleet.rotate(agent);
  fleet.failRotations(undefined);
  fleet.clock.advance(20 * 60_000);
  let first = true;
  const { unexamined, findings } = await fleet.reconcile(
    {},
    {
      before(call) {
        if (call !== 'createSecret' || !first) return;
        first = false;
        throw new Error('throttled');
      },
      after: () => undefined,
    },
  );
  expect([unexamined.length, findings.length]).toEqual([1, 1]);
});

/** A run whose first call of this name is refused. */
const refusingFirst = (refused: string): Watch => {
  let isRefused = false;
  return {
    before(call) {
      if (call !== refused || isRefused) return;
      isRefused = true;
      throw Object.assign(new Error('throttled'), { name: 'ThrottlingException' });
    },
    after: () => undefined,
  };
};

it('a kind that can not be looked for keeps no later one from it, and is told as not examined', async () => {
  const agent = await fleet.addAgent('later');
  fleet.clock.advance(33 * dayMs);
  fleet.warnings.length = 0;
  const report = await fleet.reconcile({}, refusingFirst('read declarations'));
  expect(report).toMatchObject({ unexamined: [], unexaminedKinds: ['target-drifted'], isFinished: true });
  expect(report.findings).toContainEqual(
    expect.objectContaining({ kind: 'rotation-overdue', secret: agent.name, outcome: 'repaired' }),
  );
  expect(fleet.warnings).toEqual([
    { message: 'Not looked for', kind: 'target-drifted', errorClass: 'ThrottlingException' },
  ]);
  expect((await fleet.reconcile()).unexaminedKinds).toEqual([]);
});

it('a kind that can not be told of keeps no later one from it, and the run fails, to be repeated', async () => {
  const [off] = [await fleet.addAgent('untold'), await fleet.addAgent('told')];
  await fleet.engine.CancelRotateSecret({ SecretId: off.arn });
  fleet.clock.advance(33 * dayMs);
  const told = () => fleet.alerts.map(({ backend }) => backend);
  await expect(fleet.reconcile({}, refusingFirst('Publish'))).rejects.toThrow('throttled');
  expect(told()).toEqual(['finding:rotation-overdue']);
  fleet.clock.advance(60_000);
  await fleet.reconcile();
  expect(told()).toContain('finding:rotation-off');
});

it('a rotation that was asked for on stale facts, when another run has had it done, is no second one', async () => {
  const agent = await fleet.addAgent('stale');
  const client = clientOf(fleet.engine);
  const dates = await versionDates(client, agent.arn);
  const [current = ''] = Object.keys(await fleet.labels(agent));
  expect(await rotateOnce(client, agent.arn, current, dates)).toBe('begun');
  await fleet.engine.idle();
  const rotated = await fleet.labels(agent);
  await rotateOnce(client, agent.arn, current, dates);
  await fleet.engine.idle();
  expect(await fleet.labels(agent)).toEqual(rotated);
});

describe('a rotation that is stuck', () => {
  it.each(['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const)(
    'at %s is alerted, and the command of its runbook page takes the same one to its end',
    async (at) => {
      const agent = await fleet.addAgent(`stuck_${at.toLowerCase()}`);
      fleet.failRotations((step) => {
        if (step === at) throw new Error('the function is out of memory');
      });
      await fleet.rotate(agent);
      const token = pendingOf(await fleet.labels(agent));
      fleet.clock.advance(20 * 60_000);
      expect(await fleet.keyturn(`unstick ${agent.name} --dry-run`)).toBe(3);
      expect(fleet.said.join()).toContain(
        at === 'createSecret'
          ? 'no value'
          : at === 'setSecret'
            ? 'does not take'
            : 'only the label has not moved',
      );
      fleet.failRotations(undefined);
      expect(await fleet.follow('rotation-stuck', agent)).toBe(0);
      const labels = await fleet.labels(agent);
      expect(token && labels[token]).toContain('AWSCURRENT');
      await asAgent(await fleet.valueOf(agent), `SELECT * FROM ${agent.group}_orders`);
      expect((await fleet.reconcile()).findings).toEqual([]);
    },
  );

  it('is taken to its end by the hourly look too, with one alert', async () => {
    const agents: Agent[] = [];
    for (const group of ['one', 'two', 'three']) agents.push(await fleet.addAgent(`hourly_${group}`));
    fleet.failRotations((step) => {
      if (step === 'finishSecret') throw new Error('killed');
    });
    for (const agent of agents) await fleet.rotate(agent);
    fleet.failRotations(undefined);
    expect((await fleet.reconcile()).findings).toEqual([]);
    fleet.clock.advance(20 * 60_000);
    const { findings } = await fleet.reconcile();
    expect(findings.map(({ kind, outcome }) => [kind, outcome])).toEqual(
      agents.map(() => ['rotation-stuck', 'repaired']),
    );
    expect(fleet.alerts).toHaveLength(1);
    for (const agent of agents) {
      expect((await fleet.valueOf(agent)).reveal().username).toBe(`${agent.group}_b`);
    }
  });

  it('is never promoted where the target refuses it: a person is asked, who is told why', async () => {
    const agent = await fleet.addAgent('taken');
    await server.query('CREATE ROLE taken_b LOGIN');
    await fleet.rotate(agent);
    fleet.clock.advance(20 * 60_000);
    const before = await fleet.valueOf(agent);
    const { findings } = await fleet.reconcile();
    expect(findings).toMatchObject([
      {
        kind: 'rotation-stuck',
        outcome: 'needs a person',
        explanation: expect.stringContaining('setSecret fails with AlternateTakenError'),
      },
    ]);
    expect((await fleet.valueOf(agent)).serialize().reveal()).toBe(before.serialize().reveal());
    expect(await fleet.follow('rotation-failed', agent)).toBe(3);
    await server.query('DROP ROLE taken_b');
    expect(await fleet.follow('rotation-stuck', agent)).toBe(0);
    await asAgent(await fleet.valueOf(agent), 'SELECT * FROM taken_orders');
  });

  it('after it was cancelled, lets its version go', async () => {
    const agent = await fleet.addAgent('cancelled');
    fleet.failRotations(() => {
      throw new Error('killed');
    });
    await fleet.rotate(agent);
    await fleet.engine.CancelRotateSecret({ SecretId: agent.arn });
    fleet.clock.advance(20 * 60_000);
    await fleet.reconcile();
    expect(pendingOf(await fleet.labels(agent))).toBeUndefined();
  });

  it('is not followed by another where a run at the same time has completed it: that would end a login in its grace', async () => {
    const agent = await fleet.addAgent('overtaken');
    const first = await fleet.valueOf(agent);
    fleet.failRotations((step) => {
      if (step === 'finishSecret') throw new Error('killed');
    });
    await fleet.rotate(agent);
    fleet.failRotations(undefined);
    const parts = {
      secretsManager: clientOf(fleet.engine),
      turns: { list: async () => undefined, write: async () => undefined },
    };
    const stuck = await incompleteRotation(agent.arn, parts);
    if (!stuck) return expect.unreachable();
    fleet.clock.advance(20 * 60_000);
    await fleet.reconcile();
    const rotated = Object.keys(await fleet.labels(agent));
    await abandon(stuck, parts);
    await fleet.engine.idle();
    expect(Object.keys(await fleet.labels(agent))).toEqual(rotated);
    expect((await fleet.valueOf(agent)).reveal().username).toBe('overtaken_b');
    await asAgent(first, 'SELECT * FROM overtaken_orders');
  });

  it("is ended by Secrets Manager where it began before the one before it was over: else its grace would count from that one's date", async () => {
    let next: Promise<unknown> | undefined;
    const fleet = fleetOn(server, {
      async invoke({ Step, SecretId }, take) {
        await take(unwatched);
        if (Step !== 'finishSecret' || next) return;
        // The label has moved, and Secrets Manager hasn't been told: who rotates now isn't refused.
        next = fleet.engine.RotateSecret({ SecretId });
        await next;
        fleet.clock.advance(5_000);
        fleet.failRotations((step) => {
          if (step === 'setSecret') throw new Error('the function is out of memory');
        });
      },
    });
    const agent = await fleet.addAgent('asked_again');
    await fleet.rotate(agent);
    const token = pendingOf(await fleet.labels(agent));
    const superseded = await fleet.valueOf(agent);
    fleet.failRotations(undefined);
    fleet.clock.advance(30 * 60_000);
    const { findings } = await fleet.reconcile();
    await fleet.engine.idle();
    expect(findings.filter(({ kind }) => kind === 'rotation-stuck')).toMatchObject([
      { outcome: 'waiting', explanation: expect.stringContaining('Secrets Manager was asked') },
    ]);
    expect(token && (await fleet.labels(agent))[token]).toContain('AWSCURRENT');
    expect((await fleet.valueOf(agent)).reveal().username).toBe('asked_again_a');
    // An hour of grace, of which the date of the rotation before knows nothing.
    fleet.clock.advance(45 * 60_000);
    const after = await fleet.reconcile();
    expect(after.findings.map(({ kind }) => kind)).not.toContain('rotation-stuck');
    await asAgent(superseded, 'SELECT * FROM asked_again_orders');
  });

  it('can be abandoned by hand: the next rotation begins at once, with another token', async () => {
    const agent = await fleet.addAgent('abandoned');
    fleet.failRotations((step) => {
      if (step === 'testSecret') throw new Error('killed');
    });
    await fleet.rotate(agent);
    const token = pendingOf(await fleet.labels(agent));
    fleet.failRotations(undefined);
    expect(await fleet.keyturn(`unstick ${agent.name} --abandon --yes`)).toBe(0);
    await fleet.engine.idle();
    expect(Object.keys(await fleet.labels(agent))).not.toContain(token);
    await asAgent(await fleet.valueOf(agent), 'SELECT * FROM abandoned_orders');
  });
});

it('a rollback by hand is nothing stuck, and no look at the fleet takes it back', async () => {
  const agent = await fleet.addAgent('rolled_back');
  const [first = ''] = Object.keys(await fleet.labels(agent));
  await fleet.rotate(agent);
  const token = Object.keys(await fleet.labels(agent)).find((id) => id !== first);
  await fleet.engine.UpdateSecretVersionStage({
    SecretId: agent.arn,
    VersionStage: 'AWSCURRENT',
    MoveToVersionId: first,
    RemoveFromVersionId: token,
  });
  fleet.clock.advance(2 * hourMs);
  expect((await fleet.reconcile()).findings).toEqual([]);
  expect((await fleet.labels(agent))[first]).toContain('AWSCURRENT');
  await asAgent(await fleet.valueOf(agent), 'SELECT * FROM rolled_back_orders');
});
