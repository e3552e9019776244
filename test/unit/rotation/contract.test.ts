import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { invalidRequest, valueNotFound } from '../../../local/secrets-manager/errors.ts';
import { positionOf } from '../../../shared/rotation/position.ts';
import { clientOf, witness } from '../../integration/rotation/in-process.ts';

const password = 'the-secret-password';
const credential = {
  engine: 'postgres',
  host: 'db.example',
  username: 'billing_a',
  password,
  masterarn: 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:keyturn/admin/postgres-AbCdEf',
};
const another = '99999999-9999-4999-8999-999999999999';

/** A secret in the state in which Secrets Manager calls createSecret: an empty version is AWSPENDING. */
async function begun(value: unknown = credential, tags: Record<string, string> = {}) {
  const engine = createEngine({
    attempts: 1,
    invoke: () => Promise.reject(new Error('the test takes the steps')),
  });
  const { ARN: arn } = await engine.CreateSecret({
    Name: 'agents/billing/credentials',
    SecretString: typeof value === 'string' ? value : JSON.stringify(value),
    Tags: Object.entries({ agent_id: 'billing', managed_by: 'agent-platform', ...tags }).map(
      ([Key, Value]) => ({ Key, Value }),
    ),
  });
  const { VersionId: token = '' } = await engine.RotateSecret({
    SecretId: arn,
    RotationLambdaARN: 'arn:aws:lambda:eu-central-1:000000000000:function:rotate',
  });
  await engine.idle();
  const calls: { operation: string; input: Readonly<Record<string, unknown>> }[] = [];
  const { said, parts } = witness();
  const secretsManager = clientOf(engine, (operation, input) => calls.push({ operation, input }));
  const take = (step: string, more: object = {}, allowedSecrets?: string[]) =>
    rotateSecret(
      { Step: step, SecretId: arn, ClientRequestToken: token, ...more },
      { ...parts, secretsManager, allowedSecrets },
    );
  const stagesOf = async (versionId = token) =>
    (await engine.DescribeSecret({ SecretId: arn })).VersionIdsToStages?.[versionId] ?? [];
  const pending = async () => {
    const { SecretString = '' } = await engine.GetSecretValue({ SecretId: arn, VersionId: token });
    return JSON.parse(SecretString);
  };
  const current = async () => (await engine.GetSecretValue({ SecretId: arn })).VersionId;
  return { engine, arn, token, calls, said, take, stagesOf, pending, current };
}

const failsAs = (name: string) => expect.objectContaining({ name });

describe('at every step', () => {
  it.each([
    ['createSecret', 'DescribeSecret'],
    ['createSecret', 'GetSecretValue'],
    ['createSecret', 'PutSecretValue'],
    ['setSecret', 'GetSecretValue'],
    ['setSecret', 'BatchGetSecretValue'],
    ['testSecret', 'GetSecretValue'],
    ['finishSecret', 'DescribeSecret'],
    ['finishSecret', 'UpdateSecretVersionStage'],
  ] as const)('%s says which call Secrets Manager refused: %s', async (step, operation) => {
    const { engine, take } = await begun();
    if (step !== 'createSecret') await take('createSecret');
    const refused = () => Promise.reject(invalidRequest('no'));
    Object.assign(engine, { [operation]: refused });
    await expect(take(step)).rejects.toThrow(`${operation}: InvalidRequestException`);
  });

  it('1: a secret whose rotation is off is an error, and nothing is made', async () => {
    const { engine, arn, take, calls } = await begun();
    await engine.CancelRotateSecret({ SecretId: arn });
    await expect(take('createSecret')).rejects.toEqual(failsAs('RotationDisabledError'));
    await expect(take('finishSecret')).rejects.toEqual(failsAs('RotationDisabledError'));
    expect(calls.map(({ operation }) => operation)).not.toContain('PutSecretValue');
  });

  it.each(['createSecret', 'setSecret', 'testSecret', 'finishSecret'])(
    '2: %s with a token that names no version is an error',
    async (step) => {
      const { take, current } = await begun();
      const before = await current();
      await expect(take(step, { ClientRequestToken: another })).rejects.toEqual(
        failsAs('UnknownVersionError'),
      );
      expect(await current()).toBe(before);
    },
  );

  it.each(['createSecret', 'setSecret', 'testSecret', 'finishSecret'])(
    '3: %s of a version that is AWSCURRENT succeeds and changes nothing',
    async (step) => {
      const { engine, take, calls, current } = await begun();
      const token = (await current()) ?? '';
      await take(step, { ClientRequestToken: token });
      expect(calls.map(({ operation }) => operation)).not.toContain('PutSecretValue');
      expect(calls.map(({ operation }) => operation)).not.toContain('UpdateSecretVersionStage');
      expect(await current()).toBe(token);
      await engine.idle();
    },
  );

  it.each(['createSecret', 'setSecret', 'testSecret', 'finishSecret'])(
    '4: %s of a version that lost AWSPENDING is an error',
    async (step) => {
      const { engine, arn, token, take, current } = await begun();
      await take('createSecret');
      const before = await current();
      await engine.UpdateSecretVersionStage({
        SecretId: arn,
        VersionStage: 'AWSPENDING',
        RemoveFromVersionId: token,
      });
      await expect(take(step)).rejects.toSatisfy((error) =>
        ['NotPendingError', 'UnknownVersionError'].includes(error.name),
      );
      expect(await current()).toBe(before);
    },
  );

  it('5: an unknown step is an error that names the steps', async () => {
    const { take } = await begun();
    await expect(take('dropSecret')).rejects.toThrow(/Step: expected createSecret or/);
  });

  it('6: a secret outside the allow-list is refused before any call', async () => {
    const { take, calls, arn } = await begun();
    await expect(take('createSecret', {}, ['arn:of:another'])).rejects.toEqual(
      failsAs('SecretNotAllowedError'),
    );
    expect(calls).toEqual([]);
    await take('createSecret', {}, [arn]);
  });
});

it('a version is where its labels say: current where it has AWSCURRENT, whatever else it has', () => {
  expect(positionOf(['AWSPENDING'])).toBe('pending');
  expect(positionOf(['AWSPENDING', 'AWSCURRENT'])).toBe('current');
  expect(() => positionOf(['AWSPREVIOUS'])).toThrow(failsAs('NotPendingError'));
});

describe('createSecret', () => {
  it('tells once that a rotation has started, however often it is repeated', async () => {
    const { take, said, current } = await begun();
    const started = () => said.filter((line) => line.includes('Rotation Started')).length;
    await take('createSecret', { ClientRequestToken: await current() });
    expect(started()).toBe(0);
    await take('createSecret');
    expect(started()).toBe(1);
    await take('createSecret');
    expect(started()).toBe(1);
    await take('finishSecret');
    await take('createSecret');
    expect(started()).toBe(1);
  });

  it('of several runs at once the one that put its value tells that the rotation has started', async () => {
    const { take, said } = await begun();
    await Promise.all([take('createSecret'), take('createSecret'), take('createSecret')]);
    expect(said.filter((line) => line.includes('Rotation Started'))).toHaveLength(1);
  });

  it('a strategy that nobody knows is an error that names the tag, and nothing is made', async () => {
    const { take, calls } = await begun(credential, { 'keyturn:strategy': 'triple-user' });
    await expect(take('createSecret')).rejects.toThrow(/keyturn:strategy.*dual-user or single-user/);
    expect(calls.map(({ operation }) => operation)).not.toContain('PutSecretValue');
  });

  it('9, 10: makes four calls, and puts the value with AWSPENDING alone', async () => {
    const { take, calls, stagesOf, current, token } = await begun();
    await take('createSecret');
    expect(calls.map(({ operation }) => operation)).toEqual([
      'DescribeSecret',
      'GetSecretValue',
      'GetSecretValue',
      'PutSecretValue',
    ]);
    expect(calls[3]?.input).toMatchObject({ VersionStages: ['AWSPENDING'], ClientRequestToken: token });
    expect(await stagesOf()).toEqual(['AWSPENDING']);
    expect(await current()).not.toBe(token);
  });

  it('7: a secret without an AWSCURRENT is an error that says so, and nothing is made', async () => {
    const engine = createEngine({
      attempts: 1,
      invoke: () => Promise.reject(new Error('the test takes the step')),
    });
    const { ARN: arn } = await engine.CreateSecret({ Name: 'agents/empty/credentials' });
    const { VersionId: token = '' } = await engine.RotateSecret({
      SecretId: arn,
      RotationLambdaARN: 'arn:aws:lambda:eu-central-1:000000000000:function:rotate',
    });
    await engine.idle();
    const calls: string[] = [];
    const { parts } = witness();
    const secretsManager = clientOf(engine, (operation) => calls.push(operation));
    await expect(
      rotateSecret(
        { Step: 'createSecret', SecretId: arn, ClientRequestToken: token },
        { ...parts, secretsManager, allowedSecrets: undefined },
      ),
    ).rejects.toThrow('The secret has no AWSCURRENT version');
    expect(calls).not.toContain('PutSecretValue');
  });

  it('7: an AWSCURRENT whose value is not to be had is an error that says so, and nothing is made', async () => {
    const { engine, arn, take, calls } = await begun();
    engine.GetSecretValue = () => Promise.reject(valueNotFound(arn));
    await expect(take('createSecret')).rejects.toThrow('The secret has no AWSCURRENT version');
    expect(calls.map(({ operation }) => operation)).not.toContain('PutSecretValue');
  });

  it('8: a pending value that exists is reused', async () => {
    const { take, pending, calls } = await begun();
    await take('createSecret');
    const first = await pending();
    await take('createSecret');
    expect(await pending()).toEqual(first);
    expect(calls.filter(({ operation }) => operation === 'PutSecretValue')).toHaveLength(1);
  });

  it('11: where another run was faster, its value stands', async () => {
    const { take, pending } = await begun();
    await Promise.all([take('createSecret'), take('createSecret'), take('createSecret')]);
    const first = await pending();
    await take('createSecret');
    expect(await pending()).toEqual(first);
  });

  it('the twin of the login that AWSCURRENT has is renewed, though a read by label still shows the version before', async () => {
    const { engine, arn, token, take } = await begun();
    await take('createSecret');
    await take('finishSecret');
    const { VersionId: next = '' } = await engine.RotateSecret({ SecretId: arn });
    await engine.idle();
    const lagging = clientOf({
      ...engine,
      GetSecretValue: ({ SecretId, ...which }) =>
        engine.GetSecretValue({ SecretId, ...(which.VersionId ? which : { VersionStage: 'AWSPREVIOUS' }) }),
    });
    const { parts } = witness();
    await rotateSecret(
      { Step: 'createSecret', SecretId: arn, ClientRequestToken: next },
      { ...parts, secretsManager: lagging },
    );
    const usernameOf = async (VersionId: string) =>
      JSON.parse((await engine.GetSecretValue({ SecretId: arn, VersionId })).SecretString ?? '').username;
    expect([await usernameOf(token), await usernameOf(next)]).toEqual(['billing_b', 'billing_a']);
  });

  it('12: every other field survives, in every credential of a bag', async () => {
    const extra = fc.dictionary(
      fc
        .string({ minLength: 1 })
        .filter(
          (key) =>
            ![
              'engine',
              'username',
              'password',
              'host',
              'port',
              'dbname',
              'ssl',
              '__proto__',
              'replica',
            ].includes(key),
        ),
      fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string())),
    );
    await fc.assert(
      fc.asyncProperty(extra, async (fields) => {
        const value = {
          ...fields,
          ...credential,
          replica: { ...credential, ...fields, engine: 'postgres', username: 'reader_b' },
        };
        const { take, pending } = await begun(value);
        await take('createSecret');
        const made = await pending();
        expect(made).toEqual({
          ...value,
          username: 'billing_b',
          password: made.password,
          replica: { ...value.replica, username: 'reader_a', password: made.replica.password },
        });
        expect(new Set([password, made.password, made.replica.password]).size).toBe(3);
      }),
      { numRuns: 50 },
    );
  });

  it('13: the password has 32 characters of every class, and none that is excluded', async () => {
    const { take, pending } = await begun();
    await take('createSecret');
    const made: string = (await pending()).password;
    expect(made).toHaveLength(32);
    for (const oneOf of [/[A-Z]/, /[a-z]/, /[0-9]/, /[!-/:-@[-`{-~]/]) expect(made).toMatch(oneOf);
    expect(made).not.toMatch(/[/@"'\\: ]/);
  });

  it('single-user by tag keeps the login', async () => {
    const { take, pending } = await begun(credential, { 'keyturn:strategy': 'single-user' });
    await take('createSecret');
    expect(await pending()).toMatchObject({ username: 'billing_a' });
  });

  it.each([
    ['14: no host', { ...credential, host: undefined }, 'InvalidSecretError', 'host'],
    ['14: no username', { ...credential, username: undefined }, 'InvalidSecretError', 'username'],
    ['14: no password', { ...credential, password: undefined }, 'InvalidSecretError', 'password'],
    ['14: an unknown engine', { ...credential, engine: 'db9' }, 'InvalidSecretError', 'one of postgres'],
    [
      '15: a name that is too long',
      { ...credential, username: 'x'.repeat(62) },
      'InvalidSecretError',
      'username',
    ],
    ['not JSON', password, 'InvalidSecretError', 'a JSON object'],
    ['no credential at all', { token: password }, 'InvalidSecretError', 'engine'],
  ])('%s: an error that says so, shows no value and changes nothing', async (_, value, name, says) => {
    const { take, said, engine, arn, token } = await begun(value);
    const error = await take('createSecret').catch((thrown: unknown) => thrown);
    expect(error).toEqual(failsAs(name));
    expect(String(error)).toContain(says);
    expect(`${String(error)} ${JSON.stringify(error)} ${said.join()}`).not.toContain(password);
    await expect(engine.GetSecretValue({ SecretId: arn, VersionId: token })).rejects.toThrow();
  });
});

describe('finishSecret', () => {
  it('moves nothing where no version is AWSCURRENT', async () => {
    const { engine, take, arn, token, calls } = await begun();
    await take('createSecret');
    const { VersionIdsToStages = {}, ...secret } = await engine.DescribeSecret({ SecretId: arn });
    const { [token]: pending = [] } = VersionIdsToStages;
    engine.DescribeSecret = async () => ({ ...secret, VersionIdsToStages: { [token]: pending } });
    await expect(take('finishSecret')).rejects.toEqual(failsAs('NoCurrentVersionError'));
    expect(calls.map(({ operation }) => operation)).not.toContain('UpdateSecretVersionStage');
  });

  it('30: moves AWSCURRENT in two calls, naming the version it leaves, and may be repeated', async () => {
    const { take, calls, current, token, stagesOf } = await begun();
    const before = await current();
    await take('createSecret');
    calls.length = 0;
    await take('finishSecret');
    expect(calls.map(({ operation }) => operation)).toEqual(['DescribeSecret', 'UpdateSecretVersionStage']);
    expect(calls[1]?.input).toMatchObject({ RemoveFromVersionId: before, MoveToVersionId: token });
    await take('finishSecret');
    expect(await current()).toBe(token);
    expect(await stagesOf(before)).toEqual(['AWSPREVIOUS']);
  });

  it('passes the RotationToken of a rotation from another account on, and logs it nowhere', async () => {
    const { take, calls, said } = await begun();
    const RotationToken = 'rotation-token-of-another-account-0123456789';
    await take('createSecret', { RotationToken });
    expect(calls.at(-1)?.input).toMatchObject({ RotationToken });
    expect(said.join()).not.toContain(RotationToken);
  });
});

it('31: a failed step publishes its class and its step, without what the secret holds', async () => {
  const { take, said, token } = await begun({ ...credential, engine: 'db9' });
  await expect(take('createSecret')).rejects.toThrow();
  expect(said.join()).toContain('Rotation Failed');
  expect(said.join()).toContain(token);
  expect(said.join()).not.toContain(password);
});
