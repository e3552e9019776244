import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import { valueNotFound } from '../../../local/secrets-manager/errors.ts';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { clientOf, witness } from './in-process.ts';
import { adminOf, agentOn, asAgent, loginOn, postgresForTests, secretJson } from './setting.ts';

const lambda = 'arn:aws:lambda:eu-central-1:000000000000:function:rotate';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

let count = 0;
const newName = () => `steps${++count}`;
const idOf = (number: number) => `${number}`.padStart(8, '0') + randomUUID().slice(8);

/** A secret whose rotation has begun: the test takes its steps, as Secrets Manager would. */
async function begun(
  value: SecretJson | ((engine: Engine) => Promise<SecretJson>),
  { tags = {}, isImmediate = true } = {},
) {
  const engine: Engine = createEngine({
    attempts: 1,
    invoke: async (_, { Step, SecretId, ClientRequestToken }) => {
      if (isImmediate) throw new Error('the test takes the steps');
      await rotateSecret({ Step, SecretId, ClientRequestToken }, dependencies);
    },
  });
  const calls: string[] = [];
  const reads: Readonly<Record<string, unknown>>[] = [];
  const pauses: number[] = [];
  /** Happens during the pause of that number. */
  const inPause: (() => Promise<unknown>)[] = [];
  const { parts, said } = witness();
  const dependencies = {
    ...parts,
    secretsManager: clientOf(engine, (operation, input) => {
      calls.push(operation);
      if (operation === 'GetSecretValue') reads.push(input);
    }),
    pause: async (ms: number) => {
      pauses.push(ms);
      await inPause.shift()?.();
    },
  };
  const { ARN: arn } = await engine.CreateSecret({
    Name: `agents/${newName()}/credentials`,
    SecretString: (typeof value === 'function' ? await value(engine) : value).serialize().reveal(),
    Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value: String(Value) })),
  });
  const begin = async () => {
    const RotateImmediately = isImmediate;
    const { VersionId = '' } = await engine.RotateSecret({
      SecretId: arn,
      RotationLambdaARN: lambda,
      RotateImmediately,
    });
    await engine.idle();
    return VersionId;
  };
  let token = await begin();
  const take = (...steps: string[]) =>
    steps.reduce(
      (before, Step) =>
        before.then(() => rotateSecret({ Step, SecretId: arn, ClientRequestToken: token }, dependencies)),
      Promise.resolve(),
    );
  const put = (SecretString: string, stages: string[], id = token) =>
    engine.PutSecretValue({ SecretId: arn, ClientRequestToken: id, SecretString, VersionStages: stages });
  const release = () =>
    engine.UpdateSecretVersionStage({
      SecretId: arn,
      VersionStage: 'AWSPENDING',
      RemoveFromVersionId: token,
    });
  return {
    engine,
    arn,
    calls,
    reads,
    said,
    pauses,
    inPause,
    take,
    put,
    release,
    token: () => token,
    /** Begins another rotation. */
    async again() {
      token = await begin();
    },
    async secretOf(VersionId?: string) {
      const version = VersionId === undefined ? {} : { VersionId };
      const { SecretString = '' } = await engine.GetSecretValue({ SecretId: arn, ...version });
      return secretJson(JSON.parse(SecretString));
    },
  };
}

async function adminSecretIn(engine: Engine, value?: SecretJson): Promise<string> {
  const SecretString = value && { SecretString: value.serialize().reveal() };
  return (await engine.CreateSecret({ Name: `keyturn/admin/${newName()}`, ...SecretString })).ARN;
}

/** A login with a secret of its admin's. */
async function managed(engine: Engine): Promise<SecretJson> {
  const agent = await agentOn(server, newName());
  return agent.with({ masterarn: await adminSecretIn(engine, adminOf(server)) });
}

const singleUser = { tags: { 'keyturn:strategy': 'single-user' } };

describe('a whole rotation', () => {
  it('makes five calls to Secrets Manager after createSecret, and leaves both logins working', async () => {
    const { take, secretOf, calls, token, engine, arn } = await begun(managed);
    const before = await secretOf();
    await take('createSecret');
    calls.length = 0;
    await take('setSecret', 'testSecret', 'finishSecret');
    expect(calls).toEqual([
      'GetSecretValue',
      'BatchGetSecretValue',
      'GetSecretValue',
      'DescribeSecret',
      'UpdateSecretVersionStage',
    ]);
    const next = await secretOf();
    expect((await engine.GetSecretValue({ SecretId: arn })).VersionId).toBe(token());
    await asAgent(next, 'SELECT 1');
    await asAgent(before, 'SELECT 1');
    calls.length = 0;
    await take('createSecret', 'setSecret', 'testSecret', 'finishSecret');
    expect(calls).toEqual(['DescribeSecret', 'GetSecretValue', 'GetSecretValue', 'DescribeSecret']);
    expect((await secretOf()).reveal()).toEqual(next.reveal());
  });

  it('of a bag rotates each credential in it, each with the power of its own admin', async () => {
    const rotation = await begun(async (engine) =>
      secretJson({
        one: (await managed(engine)).reveal(),
        note: 'kept',
        other: (await managed(engine)).reveal(),
      }),
    );
    await rotation.take('createSecret', 'setSecret', 'testSecret', 'finishSecret');
    const next = await rotation.secretOf();
    expect(next.reveal().note).toBe('kept');
    for (const field of ['one', 'other']) {
      const login = next.nested(field);
      expect(login?.reveal().username).toMatch(/_b$/);
      if (login) await asAgent(login, 'SELECT 1');
    }
  });
});

describe('setSecret', () => {
  it('refuses an admin secret that is not named by its ARN, and says in which field', async () => {
    const agent = await agentOn(server, newName());
    for (const [value, field] of [
      [agent.with({ masterarn: 'keyturn/admin/postgres' }), 'masterarn'],
      [agent.with({ masterarn: 7 }), 'masterarn'],
      [secretJson({ main: { ...agent.reveal(), masterarn: 'by-name' } }), 'main.masterarn'],
    ] as const) {
      const { take, calls } = await begun(value);
      await take('createSecret');
      await expect(take('setSecret')).rejects.toMatchObject({ name: 'InvalidSecretError', field });
      expect(calls).not.toContain('BatchGetSecretValue');
    }
  });

  it.each([
    ['another credential', { main: { engine: 'aurora-postgresql' } }, 'main'],
    ['none in that field', { main: undefined, other: {} }, 'main'],
  ])('refuses a pending credential where AWSCURRENT holds %s', async (_, change, field) => {
    const login = await agentOn(server, newName());
    const current = Object.fromEntries(
      Object.entries(change).map(([key, more]) => [key, more && { ...login.reveal(), ...more }]),
    );
    const { take, put } = await begun(secretJson(current));
    await put(JSON.stringify({ main: login.reveal() }), ['AWSPENDING']);
    await expect(take('setSecret')).rejects.toMatchObject({ name: 'InvalidSecretError', field });
  });

  it('refuses a whole secret where AWSCURRENT is of another engine', async () => {
    const login = await agentOn(server, newName());
    const { take, put } = await begun(login.with({ engine: 'aurora-postgresql' }));
    await put(login.serialize().reveal(), ['AWSPENDING']);
    await expect(take('setSecret')).rejects.toMatchObject({ name: 'InvalidSecretError', field: 'engine' });
  });

  it('refuses a pending password that was put by hand and is no ASCII, and does not say it', async () => {
    const { take, put, secretOf } = await begun(managed);
    const twin = String((await secretOf()).reveal().username).replace(/_a$/, '_b');
    const pending = (await secretOf()).with({ username: twin, password: 'canary-pässword' });
    await put(pending.serialize().reveal(), ['AWSPENDING']);
    const refused = await take('setSecret').catch((error: unknown) => error);
    expect(refused).toMatchObject({ name: 'InvalidSecretError', field: 'password' });
    expect(inspect(refused)).not.toContain('canary');
  });

  it('reaches a login that a killed run gave a password which only an abandoned version knows', async () => {
    const name = newName();
    await server.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first'`);
    const rotation = await begun(loginOn(server, name, 'first'), singleUser);
    await rotation.take('createSecret', 'setSecret');
    for (let abandoned = 0; abandoned < 3; abandoned += 1) {
      await rotation.release();
      await rotation.again();
      await rotation.take('createSecret');
    }
    await rotation.take('setSecret', 'testSecret', 'finishSecret');
    await asAgent(await rotation.secretOf(), 'SELECT 1');
  });

  it('reaches one in a bag in the same way', async () => {
    const name = newName();
    await server.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first'`);
    const rotation = await begun(secretJson({ main: loginOn(server, name, 'first').reveal() }), singleUser);
    await rotation.take('createSecret', 'setSecret');
    await rotation.release();
    await rotation.put('{"note":"by hand, and without the credential"}', ['BY_HAND'], idOf(1));
    await rotation.again();
    await rotation.take('createSecret', 'setSecret', 'testSecret', 'finishSecret');
    await asAgent((await rotation.secretOf()).nested('main') ?? secretJson({}), 'SELECT 1');
  });

  it('makes sure of AWSCURRENT, then asks for AWSPREVIOUS before others, and tries no password twice', async () => {
    const name = newName();
    await server.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first'`);
    const rotation = await begun(loginOn(server, name, 'first'), singleUser);
    await rotation.take('createSecret', 'setSecret');
    const wrong = loginOn(server, name, 'written by hand').serialize().reveal();
    const byHand = idOf(4);
    await rotation.put(wrong, ['AWSCURRENT'], byHand);
    const lost = rotation.token();
    await rotation.again();
    await rotation.take('createSecret');
    const refused = () =>
      readFileSync(server.logFile, 'utf8').split(`password authentication failed for user "${name}"`).length;
    const before = refused();
    rotation.reads.length = 0;
    await rotation.take('setSecret');
    const [pending, current, ...earlier] = rotation.reads;
    expect(pending).toMatchObject({ VersionId: rotation.token() });
    expect(current).toMatchObject({ VersionId: byHand });
    expect(earlier).toMatchObject([{ VersionStage: 'AWSPREVIOUS' }, {}, {}]);
    expect(new Set(earlier.slice(1).map(({ VersionId }) => VersionId))).toEqual(new Set([lost, byHand]));
    // The pending password, the one written by hand, and the first one.
    expect(refused() - before).toBe(3);
    await rotation.take('testSecret');
  });

  it('changes nothing where AWSCURRENT does not come, and nothing where the admin secret does not', async () => {
    const { engine, take, secretOf } = await begun(managed);
    await take('createSecret');
    const { BatchGetSecretValue } = engine;
    const without = (which: RegExp) => {
      engine.BatchGetSecretValue = async (request) => {
        const { SecretValues = [], ...answer } = await BatchGetSecretValue(request);
        return { ...answer, SecretValues: SecretValues.filter(({ Name }) => !which.test(Name ?? '')) };
      };
    };
    without(/^agents/);
    await expect(take('setSecret')).rejects.toThrow('The secret has no AWSCURRENT');
    without(/admin/);
    await expect(take('setSecret')).rejects.toThrow('The admin secret (masterarn) has no AWSCURRENT');
    const { username } = (await secretOf()).reveal();
    const twin = String(username).replace(/_a$/, '_b');
    expect(await server.query(`SELECT FROM pg_roles WHERE rolname = '${twin}'`)).toEqual([]);
  });
});

describe('a version that Secrets Manager does not show yet', () => {
  it('is waited for, twice, and a little longer the second time', async () => {
    const { take, put, pauses, inPause, secretOf } = await begun(managed);
    const pending = postgres
      .stage(await secretOf(), 'dual-user')
      .serialize()
      .reveal();
    inPause.push(
      async () => undefined,
      () => put(pending, ['AWSPENDING']),
    );
    await take('setSecret', 'testSecret');
    expect(pauses).toEqual([100, 400]);
  });

  it('is given up after that', async () => {
    const { take, pauses } = await begun(managed);
    await expect(take('setSecret')).rejects.toMatchObject({ name: 'UnknownVersionError' });
    expect(pauses).toEqual([100, 400]);
  });

  it('is waited for where only its label is late', async () => {
    const { take, release, engine, arn, token, pauses, inPause } = await begun(managed);
    await take('createSecret');
    await release();
    inPause.push(() =>
      engine.UpdateSecretVersionStage({
        SecretId: arn,
        VersionStage: 'AWSPENDING',
        MoveToVersionId: token(),
      }),
    );
    await take('setSecret', 'testSecret');
    expect(pauses).toEqual([100]);
  });

  it('is not waited for where Secrets Manager fails in another way', async () => {
    const { take, put, pauses } = await begun(managed);
    await put('no JSON', ['AWSPENDING']);
    await expect(take('setSecret')).rejects.toMatchObject({ name: 'InvalidSecretError' });
    expect(pauses).toEqual([]);
  });
});

describe('testSecret', () => {
  it('refuses a pending login that does not work, and AWSCURRENT stays where it is', async () => {
    const { take, secretOf } = await begun(managed);
    await take('createSecret');
    const before = await secretOf();
    await expect(take('testSecret')).rejects.toMatchObject({ name: 'CredentialRefusedError' });
    expect((await secretOf()).reveal()).toEqual(before.reveal());
  });

  it('refuses a bag in which one login does not work', async () => {
    const [well, ill] = [await agentOn(server, newName()), await agentOn(server, newName())];
    const wrong = { ...ill.reveal(), password: 'wrong' };
    const { take, put } = await begun(secretJson({ well: well.reveal(), ill: wrong }));
    await put(JSON.stringify({ well: well.reveal(), ill: wrong }), ['AWSPENDING']);
    await expect(take('testSecret')).rejects.toMatchObject({ name: 'CredentialRefusedError' });
  });

  it('alone, on a version without a value (RotateImmediately=false), proves the current login', async () => {
    const agent = await agentOn(server, newName());
    const { engine, arn, calls } = await begun(agent, { isImmediate: false });
    expect(engine.rotationOf(arn)).toMatchObject({ state: 'succeeded', step: 'testSecret' });
    expect(calls).toEqual([
      'GetSecretValue',
      'GetSecretValue',
      'GetSecretValue',
      'DescribeSecret',
      'GetSecretValue',
    ]);
    const broken = await begun(agent.with({ password: 'wrong' }), { isImmediate: false });
    expect(broken.engine.rotationOf(broken.arn)).toMatchObject({
      state: 'failed',
      error: { name: 'CredentialRefusedError' },
    });
  });

  it('alone, on a secret that was never put, says that there is nothing to prove', async () => {
    const { engine, take, arn } = await begun(secretJson({}));
    engine.GetSecretValue = () => Promise.reject(valueNotFound(arn));
    await expect(take('testSecret')).rejects.toMatchObject({ name: 'NoCurrentVersionError' });
    engine.DescribeSecret = () => Promise.reject(valueNotFound(arn));
    await expect(take('testSecret')).rejects.toThrow('DescribeSecret: ResourceNotFoundException');
  });
});
