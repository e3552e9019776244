import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { announceRotation } from '../../../functions/announce-rotation/announce-rotation.ts';
import { recordProbe } from '../../../functions/check-backend-health/record-probe.ts';
import { revokeSuperseded } from '../../../functions/revoke-superseded/revoke-superseded.ts';
import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import { freePort } from '../../../local/ports.ts';
import type { Postgres } from '../../../local/postgres/server.ts';
import { type SecretsManager, startSecretsManager } from '../../../local/secrets-manager/http.ts';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { steps } from '../../../shared/rotation/rotation.ts';
import { secretsManagerTime } from '../../../shared/secrets-manager/time.ts';
import { healthState } from '../../../shared/state/health-state.ts';
import { dynamoClientOf } from '../../integration/reconciliation/dynamodb.ts';
import { functionArn, hourMs, unwatched } from '../../integration/reconciliation/fleet.ts';
import { type InMemoryScheduler, schedulerClientOf } from '../../integration/reconciliation/scheduler.ts';
import { putSecrets, witness } from '../../integration/rotation/in-process.ts';
import { adminOf, agentOn, asAgent, postgresForTests } from '../../integration/rotation/setting.ts';

const parts = new AsyncDisposableStack();
const minuteMs = 60_000;
let aws: SecretsManager;
let postgres: Postgres;
beforeAll(async () => {
  aws = parts.use(await startSecretsManager({ port: await freePort(), attempts: 1, region: 'eu-central-1' }));
  postgres = parts.use(await postgresForTests());
});
afterAll(() => parts.disposeAsync());

/** How far a machine's clock is off when it is looked at for the nth time. */
type Clock = (nth: number) => number;
const clocks: readonly (readonly [string, Clock])[] = [
  ['5 minutes fast', () => 5 * minuteMs],
  ['5 minutes slow', () => -5 * minuteMs],
  ['5 minutes fast, and jumps back by 10', (nth) => (nth <= 2 ? 5 : -5) * minuteMs],
];

function machineWith(clock: Clock): () => number {
  let looks = 0;
  return () => {
    looks += 1;
    return aws.clock.now().getTime() + clock(looks);
  };
}

const clientOfAws = () =>
  new SecretsManagerClient({
    region: 'eu-central-1',
    endpoint: aws.url,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });

let count = 0;

/** An agent, rotated by a function with that clock. */
async function rotatedUnder(clock: Clock) {
  count += 1;
  const group = `clock${count}`;
  const secretArn = await putSecrets(aws.engine, {
    agent: await agentOn(postgres, group),
    admin: adminOf(postgres),
    names: { agent: group, admin: group },
  });
  const value = async () => {
    const { SecretString = '', VersionId = '' } = await aws.engine.GetSecretValue({ SecretId: secretArn });
    return { versionId: VersionId, login: SecretJson.parse(SecretValue.of(SecretString)) };
  };
  const before = await value();
  aws.clock.advance(minuteMs);
  const { VersionId: token = '' } = await aws.engine.RotateSecret({
    SecretId: secretArn,
    RotationLambdaARN: functionArn,
  });
  await aws.engine.idle();
  const secretsManager = clientOfAws();
  const now = secretsManagerTime(secretsManager, machineWith(clock));
  for (const Step of steps) {
    await rotateSecret(
      { Step, SecretId: secretArn, ClientRequestToken: token },
      { ...witness().parts, secretsManager, now },
    );
  }
  const after = await value();
  expect(after.versionId).toBe(token);
  const works = ({ login }: { login: SecretJson }) =>
    asAgent(login, 'SELECT 1').then(
      () => true,
      () => false,
    );
  const movedAt = aws.clock.now();
  return { group, secretArn, before, after, works, movedAt };
}

describe.each(clocks)('while the clock of a function is %s', (_, clock) => {
  test('a rotation goes through, and the superseded login works until its grace ends and not after', async () => {
    const { secretArn, before, after, works, movedAt } = await rotatedUnder(clock);
    const ended = {
      secretArn,
      supersededVersionId: before.versionId,
      currentVersionId: after.versionId,
      rotationId: after.versionId,
      graceEndsAt: new Date(movedAt.getTime() + hourMs).toISOString(),
    };
    const secretsManager = clientOfAws();
    const now = secretsManagerTime(secretsManager, machineWith(clock));
    const revoke = () => revokeSuperseded(ended, { ...witness().parts, secretsManager, now });
    aws.clock.advance(hourMs - 4 * minuteMs);
    await expect(revoke()).rejects.toMatchObject({ name: 'InGraceError' });
    expect(await works(before)).toBe(true);
    aws.clock.advance(5 * minuteMs);
    expect(await revoke()).toBe('revoked');
    expect(await works(before)).toBe(false);
    expect(await works(after)).toBe(true);
  });

  test('the end of a grace period is scheduled for the time that AWS gave, once', async () => {
    const { group, secretArn, after, movedAt } = await rotatedUnder(clock);
    const scheduler: InMemoryScheduler = new Map();
    const machine = machineWith(clock);
    const event = {
      version: '0',
      id: crypto.randomUUID(),
      'detail-type': 'Secret Label Updated',
      source: 'aws.secretsmanager',
      account: '000000000000',
      time: `${movedAt.toISOString().slice(0, 19)}Z`,
      region: 'eu-central-1',
      resources: [secretArn],
      detail: {
        name: `agents/${group}/credentials`,
        labelUpdated: 'AWSCURRENT',
        versionId: after.versionId,
      },
    };
    const announce = () =>
      announceRotation(event, {
        secretsManager: clientOfAws(),
        scheduler: schedulerClientOf(scheduler, unwatched),
        bus: witness().parts.bus,
        schedule: {
          groupName: 'grace',
          targetArn: functionArn,
          roleArn: functionArn,
          deadLetterArn: functionArn,
        },
        log: { debug: () => undefined },
        now: () => new Date(machine()),
      });
    await announce();
    await announce();
    const end = new Date(Date.parse(event.time) + hourMs).toISOString().slice(0, 19);
    expect([...scheduler.values()]).toMatchObject([{ ScheduleExpression: `at(${end})` }]);
  });

  test('a backend that goes down and comes back is alerted once each', async () => {
    const table = new Map();
    const alerts: string[] = [];
    const machine = machineWith(clock);
    for (const [run, isDown] of [false, true, true, true, false, false, false, false].entries()) {
      aws.clock.advance(minuteMs);
      const problem = { severity: 'unhealthy' as const, reason: 'TargetUnreachableError' };
      await recordProbe('target orders', isDown ? problem : undefined, `run-${run}`, {
        state: healthState(dynamoClientOf(table, unwatched), 'state'),
        rule: { window: 3, failures: 2 },
        send: async (_backend, alert) => void alerts.push(alert.kind),
        now: () => new Date(machine()),
      });
    }
    expect(alerts).toEqual(['opened', 'recovered']);
  });
});
