import { EventBridgeClient, ListRulesCommand, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rotationFailed } from '../../../events/rotation-failed/event.ts';
import { rotationStarted } from '../../../events/rotation-started/event.ts';
import { until } from '../../../local/until.ts';
import { deployFunction, rotatorSource } from '../secrets-manager-function.ts';
import { type Aws, startAws } from './aws.ts';
import { begun, canary, keyturn } from './command.ts';

let aws: Aws;
let rotator: string;
let hanging: string;
beforeAll(async () => {
  aws = await startAws();
  rotator = await deployFunction(
    aws.sdk,
    'rotator',
    rotatorSource.replace(
      'JSON.stringify({ generation })',
      `JSON.stringify({ generation, password: '${canary}' })`,
    ),
  );
  hanging = await deployFunction(
    aws.sdk,
    'broken',
    "export const handler = async () => { throw new Error('refused'); };",
  );
});
afterAll(() => aws[Symbol.asyncDispose]());

const bus = () => new EventBridgeClient(aws.sdk);

async function secretOf(agent: string, functionArn: string | undefined, tags: Record<string, string> = {}) {
  const { engine } = aws.secretsManager;
  const all = { agent_id: agent, managed_by: 'agent-platform', ...tags };
  const { ARN } = await engine.CreateSecret({
    Name: `agents/${agent}/credentials`,
    SecretString: JSON.stringify({ generation: 0, password: canary }),
    Tags: Object.entries(all).map(([Key, Value]) => ({ Key, Value })),
  });
  if (functionArn !== undefined) {
    await engine.RotateSecret({
      SecretId: ARN,
      RotationLambdaARN: functionArn,
      RotationRules: { AutomaticallyAfterDays: 30 },
      RotateImmediately: false,
    });
    await engine.idle();
  }
  return ARN;
}

const publish = async (...events: { source: string; detailType: string; detail: object }[]) =>
  bus().send(
    new PutEventsCommand({
      Entries: events.map(({ source, detailType, detail }) => ({
        EventBusName: aws.outputs.BusName,
        Source: source,
        DetailType: detailType,
        Detail: JSON.stringify(detail),
      })),
    }),
  );

/** What a watch put into the account and has not taken away. */
async function leftBehind(): Promise<readonly string[]> {
  const { Rules = [] } = await bus().send(new ListRulesCommand({ EventBusName: aws.outputs.BusName }));
  const { QueueUrls = [] } = await new SQSClient(aws.sdk).send(
    new ListQueuesCommand({ QueueNamePrefix: 'keyturn-tail' }),
  );
  return [...Rules.map(({ Name }) => Name ?? ''), ...QueueUrls];
}

describe('keyturn rotate', () => {
  it('rotates, waits until it is done, and leaves nothing behind', async () => {
    const arn = await secretOf('one', rotator);
    const { code, stdout } = await keyturn(aws, ['rotate', 'agents/one/credentials', '--wait', '--json']);
    const current = await aws.secretsManager.engine.GetSecretValue({ SecretId: arn });
    expect({ code, ...JSON.parse(stdout) }).toMatchObject({
      code: 0,
      schemaVersion: 1,
      outcome: 'rotated',
      rotationId: current.VersionId,
      secret: 'agents/one/credentials',
    });
    expect(await leftBehind()).toEqual([]);
  });

  it('refuses to take a login away that is still in its grace period, unless it is told --yes', async () => {
    const again = ['rotate', 'agents/one/credentials'];
    const before = (await aws.secretsManager.engine.GetSecretValue({ SecretId: 'agents/one/credentials' }))
      .VersionId;
    const { code, stderr } = await keyturn(aws, again);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('in its grace period for') });
    const after = await aws.secretsManager.engine.GetSecretValue({ SecretId: 'agents/one/credentials' });
    expect(after.VersionId).toBe(before);
    expect(await keyturn(aws, [...again, '--yes'])).toMatchObject({ code: 0 });
    await aws.secretsManager.engine.idle();
  });

  it('refuses just so after a rotation that a reconciler took to its end, of which there is no date', async () => {
    const arn = await secretOf('taken', rotator);
    const { engine } = aws.secretsManager;
    const { VersionId: before } = await engine.GetSecretValue({ SecretId: arn });
    const { VersionId: token } = await engine.PutSecretValue({
      SecretId: arn,
      SecretString: JSON.stringify({ generation: 1, password: canary }),
      VersionStages: ['AWSPENDING'],
    });
    await engine.UpdateSecretVersionStage({
      SecretId: arn,
      VersionStage: 'AWSCURRENT',
      MoveToVersionId: token,
      RemoveFromVersionId: before,
    });
    expect(await keyturn(aws, ['rotate', arn])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('in its grace period for'),
    });
  });

  it('asks where the tag of the grace period can not be read, and rotates where it is told --yes', async () => {
    const arn = await secretOf('unreadable', rotator, { 'keyturn:grace': canary });
    expect(await keyturn(aws, ['rotate', arn])).toMatchObject({ code: 0 });
    await aws.secretsManager.engine.idle();
    const { code, stderr } = await keyturn(aws, ['rotate', arn]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining("Its tag keyturn:grace can't be read"),
    });
    expect(stderr).not.toContain(canary);
    expect(await keyturn(aws, ['rotate', arn, '--yes'])).toMatchObject({ code: 0 });
    await aws.secretsManager.engine.idle();
  });

  it('says which step failed and why, and that the next rotation needs help', async () => {
    const arn = await secretOf('two', hanging);
    const { ran } = begun(['rotate', arn, '--wait'], aws.env);
    const token = await until('the rotation has begun', async () => {
      const { VersionIdsToStages = {} } = await aws.secretsManager.engine.DescribeSecret({ SecretId: arn });
      return Object.keys(VersionIdsToStages).find((id) => VersionIdsToStages[id]?.includes('AWSPENDING'));
    });
    const secret = {
      schemaVersion: 1 as const,
      secret: 'agents/two/credentials',
      secretArn: arn,
      agentId: 'two',
    };
    const at = new Date().toISOString();
    await publish(
      rotationStarted.of({ ...secret, rotationId: token, startedAt: at }),
      rotationFailed.of({
        ...secret,
        rotationId: token,
        step: 'setSecret',
        errorClass: 'AlternateTakenError',
        failedAt: at,
      }),
    );
    const { code, stderr } = await ran;
    expect(code).toBe(1);
    expect(stderr).toContain('failed at setSecret: AlternateTakenError');
    expect(stderr).toContain('Rotation Started');
    expect(await keyturn(aws, ['rotate', arn])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('keyturn unstick'),
    });
    expect(await leftBehind()).toEqual([]);
  });

  it('refuses what is not the platform’s, what does not rotate, and what is not there', async () => {
    await aws.secretsManager.engine.CreateSecret({ Name: 'somebody/elses', SecretString: canary });
    await secretOf('three', undefined);
    expect((await keyturn(aws, ['rotate', 'somebody/elses'])).stderr).toContain('managed_by=agent-platform');
    expect((await keyturn(aws, ['rotate', 'agents/three/credentials'])).stderr).toContain(
      'rotation of agents/three/credentials is off',
    );
    expect((await keyturn(aws, ['rotate', 'none'])).stderr).toBe('keyturn: there is no secret none\n');
  });
});

describe('keyturn tail', () => {
  it('shows the events of an agent as they come, and cleans up after Ctrl-C', async () => {
    const { process: tail, ran } = begun(['tail', 'one', '--json'], aws.env);
    await until('it listens', async () => (await leftBehind()).length === 2);
    const at = new Date().toISOString();
    const secret = (agent: string) => ({
      schemaVersion: 1 as const,
      secret: `agents/${agent}/credentials`,
      secretArn: `arn:aws:secretsmanager:eu-central-1:000000000000:secret:agents/${agent}/credentials-a1B2c3`,
      agentId: agent,
    });
    let shown = '';
    tail.stdout?.on('data', (chunk: Buffer) => {
      shown += chunk.toString();
    });
    await until('an event is shown', async () => {
      await publish(
        rotationStarted.of({ ...secret('other'), rotationId: 'b'.repeat(32), startedAt: at }),
        { source: 'keyturn', detailType: 'Rotation Started', detail: { agentId: 'one', password: canary } },
        rotationStarted.of({ ...secret('one'), rotationId: 'a'.repeat(32), startedAt: at }),
      );
      return shown.includes('\n');
    });
    tail.kill('SIGINT');
    const { code, stdout, stderr } = await ran;
    expect(code).toBe(0);
    const [first, ...more] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(first).toEqual({
      time: expect.any(String),
      type: 'Rotation Started',
      detail: { ...secret('one'), rotationId: 'a'.repeat(32), startedAt: at },
    });
    expect(more.every(({ detail }) => detail.agentId === 'one')).toBe(true);
    expect(stderr).toContain('of a kind that this version of keyturn does not know');
    expect(await leftBehind()).toEqual([]);
  });

  it('cleans up when nobody reads its output any more', async () => {
    const { process: tail, ran } = begun(['tail'], aws.env);
    await until('it listens', async () => (await leftBehind()).length === 2);
    tail.stdout?.destroy();
    const ended = ran.catch(() => undefined);
    await until('it has ended', async () => {
      const secretArn =
        'arn:aws:secretsmanager:eu-central-1:000000000000:secret:agents/one/credentials-a1B2c3';
      await publish(
        rotationStarted.of({
          schemaVersion: 1,
          secret: 'agents/one/credentials',
          secretArn,
          agentId: 'one',
          rotationId: 'a'.repeat(32),
          startedAt: new Date().toISOString(),
        }),
      );
      return tail.exitCode !== null;
    });
    await ended;
    expect(await leftBehind()).toEqual([]);
  });
});
