import { expect, it } from 'vitest';
import { revokeSuperseded } from '../../functions/revoke-superseded/revoke-superseded.ts';
import { rotateSecret } from '../../functions/rotate-secret/rotate-secret.ts';
import { createClock } from '../../local/secrets-manager/clock.ts';
import { createEngine, type Engine } from '../../local/secrets-manager/engine.ts';
import { clientOf, witness } from '../integration/rotation/in-process.ts';
import { secretJson } from '../integration/rotation/setting.ts';
import { demands, startHostileServer } from './hostile-server.ts';

const hourMs = 3_600_000;
const tags = (agent: string) => [
  { Key: 'agent_id', Value: agent },
  { Key: 'managed_by', Value: 'agent-platform' },
];

/** An agent's secret that names another agent's as its admin's, and a server of the attacker's. Every read of the other is noted. */
async function attack(port: number, inField: boolean) {
  const clock = createClock(() => Date.parse('2026-01-01T00:00:00Z'));
  const engine: Engine = createEngine({
    attempts: 1,
    now: clock.now,
    invoke: async () => {
      throw new Error('the test takes the steps');
    },
  });
  const login = { engine: 'postgres', host: '127.0.0.1', port, ssl: false, dbname: 'postgres' };
  const { ARN: masterarn } = await engine.CreateSecret({
    Name: 'agents/other/credentials',
    SecretString: JSON.stringify({ username: 'other_a', password: 'of-other' }),
    Tags: tags('other'),
  });
  const own = { ...login, username: 'attacker_a', password: 'own', masterarn };
  const { ARN: arn, VersionId: first } = await engine.CreateSecret({
    Name: 'agents/attacker/credentials',
    SecretString: secretJson(inField ? { main: own } : own)
      .serialize()
      .reveal(),
    Tags: tags('attacker'),
  });
  const read: string[] = [];
  const secretsManager = clientOf(engine, (operation, input) => {
    if (/^(Batch)?GetSecretValue$/.test(operation)) read.push(JSON.stringify(input));
  });
  return {
    engine,
    clock,
    arn,
    first,
    masterarn,
    read,
    parts: { ...witness().parts, now: clock.now, secretsManager },
  };
}

const field = { 'the secret itself': false, 'one of its fields': true };

it.each(Object.entries(field))(
  "a rotation reads no other agent's secret as its admin's, which %s names",
  async (_, inField) => {
    await using server = await startHostileServer({ tls: 'N', demand: demands.unknownMechanism });
    const { engine, arn, masterarn, read, parts } = await attack(server.port, inField);
    await engine.RotateSecret({
      SecretId: arn,
      RotationLambdaARN: 'arn:aws:lambda:eu-central-1:000000000000:function:rotate',
      RotationRules: { AutomaticallyAfterDays: 30 },
    });
    await engine.idle();
    const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: arn });
    const [ClientRequestToken = ''] =
      Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSPENDING')) ?? [];
    const take = (Step: string) => rotateSecret({ Step, SecretId: arn, ClientRequestToken }, parts);
    await take('createSecret');
    await expect(take('setSecret')).rejects.toMatchObject({ name: 'AdminSecretNotAllowedError' });
    expect(read.filter((input) => input.includes(masterarn))).toEqual([]);
    expect(server.received()).toBe('');
  },
);

it.each(Object.entries(field))(
  "a revocation reads no other agent's secret as its admin's, which %s names",
  async (_, inField) => {
    await using server = await startHostileServer({ tls: 'N', demand: demands.unknownMechanism });
    const { engine, clock, arn, first, masterarn, read, parts } = await attack(server.port, inField);
    clock.advance(2_000);
    const { VersionId: currentVersionId } = await engine.PutSecretValue({
      SecretId: arn,
      SecretString: (await engine.GetSecretValue({ SecretId: arn })).SecretString ?? '',
    });
    clock.advance(100 * hourMs);
    const ended = {
      secretArn: arn,
      supersededVersionId: first,
      currentVersionId,
      rotationId: currentVersionId,
      graceEndsAt: clock.now().toISOString(),
    };
    await expect(revokeSuperseded(ended, parts)).rejects.toMatchObject({
      name: 'AdminSecretNotAllowedError',
    });
    expect(read.filter((input) => input.includes(masterarn))).toEqual([]);
    expect(server.received()).toBe('');
  },
);
