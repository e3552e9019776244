import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import {
  AgentSecretTakenError,
  createAgentSecret,
  deleteAgentSecret,
  InvalidAgentIdError,
} from '../../../shared/provisioning/agent-secret.ts';
import { clientOf } from '../../integration/rotation/in-process.ts';

const rotationFunctionArn = 'arn:aws:lambda:eu-central-1:000000000000:function:keyturn-prod-rotate-secret';
const credential = { engine: 'postgres', host: 'db.example', username: 'billing', password: 'first' };
const SecretId = 'agents/billing-7/credentials';
let engine: ReturnType<typeof createEngine>;
let calls: string[];
let failsAt: number;

beforeEach(() => {
  engine = createEngine({ attempts: 1, invoke: async () => undefined });
  calls = [];
  failsAt = Number.POSITIVE_INFINITY;
});

const client = () =>
  clientOf(engine, (operation) => {
    calls.push(operation);
    if (calls.length === failsAt) throw new Error('killed');
  });
const create = (more: object = {}) =>
  createAgentSecret('billing-7', credential, { client: client(), rotationFunctionArn, ...more });
const writes = () => calls.filter((operation) => operation !== 'DescribeSecret');

test('makes the secret with its tags and its rotation, and does not rotate it at once', async () => {
  const { changes } = await create({ tags: { 'keyturn:grace': '2h' } });
  expect(changes).toEqual(['created', 'rotation turned on']);
  const secret = await engine.DescribeSecret({ SecretId });
  expect(secret).toMatchObject({
    RotationEnabled: true,
    RotationLambdaARN: rotationFunctionArn,
    RotationRules: { AutomaticallyAfterDays: 30 },
  });
  expect(secret.Tags).toEqual(
    expect.arrayContaining([
      { Key: 'agent_id', Value: 'billing-7' },
      { Key: 'managed_by', Value: 'agent-platform' },
      { Key: 'keyturn:grace', Value: '2h' },
    ]),
  );
  expect(secret.LastRotatedDate).toBeUndefined();
});

test('done again it changes nothing, and keeps the value that is there', async () => {
  await create();
  await engine.PutSecretValue({ SecretId, SecretString: '{"rotated":true}' });
  calls = [];
  expect((await create()).changes).toEqual([]);
  expect(writes()).toEqual(['CreateSecret']);
  expect((await engine.GetSecretValue({ SecretId })).SecretString).toBe('{"rotated":true}');
});

test('what differs is put right: another schedule, another tag', async () => {
  await create();
  const { changes } = await create({ rotationDays: 7, tags: { 'keyturn:mirror': SecretId } });
  expect(changes).toEqual(['tagged', 'rotation turned on']);
  expect(await engine.DescribeSecret({ SecretId })).toMatchObject({
    RotationRules: { AutomaticallyAfterDays: 7 },
  });
});

test.each([1, 2, 3])('killed at its call %i and done again, it is whole', async (call) => {
  failsAt = call;
  await expect(create()).rejects.toThrow();
  failsAt = Number.POSITIVE_INFINITY;
  await create();
  expect(await engine.DescribeSecret({ SecretId })).toMatchObject({ RotationEnabled: true });
  expect((await create()).changes).toEqual([]);
});

test("another owner's secret is left alone", async () => {
  await engine.CreateSecret({ Name: SecretId, SecretString: 'theirs' });
  await expect(create()).rejects.toThrow(AgentSecretTakenError);
  await expect(deleteAgentSecret('billing-7', { client: client() })).rejects.toThrow(AgentSecretTakenError);
  expect((await engine.GetSecretValue({ SecretId })).SecretString).toBe('theirs');
});

test('deleted it can not be read, and to delete it again is no error', async () => {
  await create();
  expect(await deleteAgentSecret('billing-7', { client: client() })).toBe(true);
  await expect(engine.GetSecretValue({ SecretId })).rejects.toThrow();
  expect(await deleteAgentSecret('billing-7', { client: client() })).toBe(false);
  expect(await deleteAgentSecret('nobody', { client: client() })).toBe(false);
  await expect(create()).rejects.toThrow(AgentSecretTakenError);
});

test.each([
  '',
  '*',
  '..',
  'a/../b',
  'a+b',
  'A',
  'bıllıng',
  'billing\u0000',
  '-a',
  'a-',
  'x'.repeat(62),
  'admin',
  'a b',
  'a_b',
])('an agent can not be called %j', async (agentId) => {
  await expect(createAgentSecret(agentId, credential, { client: client() })).rejects.toThrow(
    InvalidAgentIdError,
  );
  expect(calls).toEqual([]);
});

test('whatever an agent is called, its secret is one of its own folder below agents/, or there is none', async () => {
  const likely = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]?$/);
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), likely), async (agentId) => {
      calls = [];
      const outcome = await createAgentSecret(agentId, credential, { client: client() }).catch(
        (error) => error,
      );
      if (outcome instanceof InvalidAgentIdError) expect(calls).toEqual([]);
      else expect(outcome.arn).toMatch(new RegExp(`:secret:agents/${agentId}/credentials-.{6}$`));
    }),
  );
});

test('what it holds may be wrapped, and is stored as it is', async () => {
  const more = { client: client() };
  await createAgentSecret('billing-7', { ...credential, password: SecretValue.of('wrapped') }, more);
  const { SecretString = '' } = await engine.GetSecretValue({ SecretId });
  expect(JSON.parse(SecretString)).toEqual({ ...credential, password: 'wrapped' });
  const huge = createAgentSecret('billing-8', { note: 'x'.repeat(65_536) }, more);
  await expect(huge).rejects.toMatchObject({ name: 'InvalidSecretError' });
});

test('what Secrets Manager refuses is told by its code, without the request', async () => {
  failsAt = 1;
  const refused = await create().catch((error) => error);
  expect(refused).toMatchObject({
    name: 'SecretsManagerError',
    message: expect.stringContaining('CreateSecret'),
  });
  expect(refused.cause).toBeUndefined();
});
