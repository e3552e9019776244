import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EventBridgeClient, PutRuleCommand, PutTargetsCommand } from '@aws-sdk/client-eventbridge';
import {
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  RotateSecretCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { startMinistack } from '../../local/ministack/server.ts';
import { freePort } from '../../local/ports.ts';
import { root } from '../../local/root.ts';
import { startSecretsManager } from '../../local/secrets-manager/http.ts';
import { until } from '../../local/until.ts';
import { deployFunction, rotatorSource } from './secrets-manager-function.ts';

const run = promisify(execFile);
const region = 'eu-central-1';
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };

async function startAws() {
  await using parts = new AsyncDisposableStack();
  const [port, ministackPort] = [await freePort(), await freePort()];
  const endpoint = `http://127.0.0.1:${port}`;
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-')), 'ministack.log');
  const ministack = parts.use(
    await startMinistack({ port: ministackPort, workerEndpoint: endpoint, logFile }),
  );
  const aws = parts.use(
    await startSecretsManager({ port, ministackUrl: ministack.url, region, retryDelayMs: 10 }),
  );
  const sdk = { endpoint, region, credentials };
  const all = parts.move();
  return {
    ...aws,
    sdk,
    secrets: new SecretsManagerClient({ ...sdk, customUserAgent: [['keyturn', 'test']] }),
    env: {
      ...process.env,
      AWS_ENDPOINT_URL: endpoint,
      AWS_DEFAULT_REGION: region,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

const python = `
import boto3, json, sys
from botocore.exceptions import ClientError
client = boto3.client('secretsmanager')
def code(call, **arguments):
    try:
        call(**arguments)
        return 'no error'
    except ClientError as error:
        return error.response['Error']['Code']
token = 'b' * 32
created = client.create_secret(Name='from/python', SecretString='one', Tags=[{'Key': 'agent_id', 'Value': 'a'}])
put = client.put_secret_value(SecretId='from/python', ClientRequestToken=token, SecretString='two')
again = client.put_secret_value(SecretId='from/python', ClientRequestToken=token, SecretString='two')
binary = client.create_secret(Name='from/python/binary', SecretBinary=bytes([0, 255, 7]))
described = client.describe_secret(SecretId=created['ARN'])
print(json.dumps({
    'arn': created['ARN'],
    'same': put['VersionId'] == again['VersionId'],
    'stages': described['VersionIdsToStages'],
    'created': described['CreatedDate'].isoformat(),
    'binary': list(client.get_secret_value(SecretId='from/python/binary')['SecretBinary']),
    'codes': [
        code(client.get_secret_value, SecretId='nowhere'),
        code(client.create_secret, Name='from/python', SecretString='x'),
        code(client.put_secret_value, SecretId='from/python', ClientRequestToken=token, SecretString='x'),
        code(client.get_secret_value, SecretId='from/python', VersionId='c' * 32),
        code(client.rotate_secret, SecretId='from/python'),
        code(client.update_secret_version_stage, SecretId='from/python', VersionStage='AWSCURRENT', MoveToVersionId=created['VersionId']),
        code(client.replicate_secret_to_regions, SecretId='from/python', AddReplicaRegions=[{'Region': 'eu-west-1'}]),
    ],
}))
`;

test('answers boto3 with the values and error codes of AWS', async () => {
  await using aws = await startAws();
  const { stdout } = await run(join(root, '.keyturn/venv/test/bin/python'), ['-c', python], { env: aws.env });
  expect(JSON.parse(stdout)).toEqual({
    arn: expect.stringMatching(
      /^arn:aws:secretsmanager:eu-central-1:000000000000:secret:from\/python-\w{6}$/,
    ),
    same: true,
    stages: {
      ['b'.repeat(32)]: ['AWSCURRENT'],
      [z.uuid().parse(await previousOf(aws.secrets))]: ['AWSPREVIOUS'],
    },
    created: expect.stringContaining(new Date().getUTCFullYear().toString()),
    binary: [0, 255, 7],
    codes: [
      'ResourceNotFoundException',
      'ResourceExistsException',
      'ResourceExistsException',
      'ResourceNotFoundException',
      'InvalidRequestException',
      'InvalidParameterException',
      'UnknownOperationException',
    ],
  });
});

async function previousOf(client: SecretsManagerClient) {
  const previous = { SecretId: 'from/python', VersionStage: 'AWSPREVIOUS' };
  return (await client.send(new GetSecretValueCommand(previous))).VersionId;
}

test('answers the AWS CLI, and hands what is not its own to ministack', async () => {
  await using aws = await startAws();
  const cli = async (...args: string[]) => {
    const { stdout } = await run(join(root, '.keyturn/venv/test/bin/aws'), args, { env: aws.env });
    return stdout.trim();
  };
  await cli('secretsmanager', 'create-secret', '--name', 'from-cli', '--secret-string', 'grün');
  expect(
    await cli(
      'secretsmanager',
      'get-secret-value',
      '--secret-id',
      'from-cli',
      '--query',
      'SecretString',
      '--output',
      'text',
    ),
  ).toBe('grün');
  expect(await cli('sts', 'get-caller-identity', '--query', 'Account', '--output', 'text')).toBe(
    '000000000000',
  );
  const large = 'x'.repeat(20_000);
  await cli('sns', 'create-topic', '--name', 'alerts', '--attributes', JSON.stringify({ DisplayName: 'a' }));
  await cli('ssm', 'put-parameter', '--name', 'large', '--type', 'String', '--value', large);
  expect(
    await cli('ssm', 'get-parameter', '--name', 'large', '--query', 'Parameter.Value', '--output', 'text'),
  ).toBe(large);
});

test('rotates through a deployed function, counts its calls and tells EventBridge', async () => {
  await using aws = await startAws();
  const queueUrl = await queueOfLabelEvents(aws.sdk);
  const functionArn = await deployFunction(aws.sdk, 'rotator', rotatorSource);
  const secret = await aws.secrets.send(
    new CreateSecretCommand({ Name: 'agents/a/credentials', SecretString: '{"generation":0}' }),
  );
  const { VersionId: token } = await aws.secrets.send(
    new RotateSecretCommand({ SecretId: secret.ARN, RotationLambdaARN: functionArn }),
  );
  await aws.engine.idle();

  expect(aws.engine.rotationOf(secret.ARN ?? '')).toMatchObject({ state: 'succeeded', attempts: 1, token });
  const value = await aws.secrets.send(new GetSecretValueCommand({ SecretId: 'agents/a/credentials' }));
  expect(value).toMatchObject({ VersionId: token, SecretString: '{"generation":1}' });
  const described = await aws.secrets.send(new DescribeSecretCommand({ SecretId: 'agents/a/credentials' }));
  expect(described.LastRotatedDate).toBeInstanceOf(Date);

  const counts = await (await fetch(`${aws.url}/_keyturn/calls`)).json();
  expect(counts).toMatchObject({
    callers: {
      test: { CreateSecret: 1, RotateSecret: 1, GetSecretValue: 1, DescribeSecret: 1 },
      rotator: { GetSecretValue: 1, PutSecretValue: 1, UpdateSecretVersionStage: 1 },
    },
  });
  expect(await labelEvents(queueUrl, aws.sdk, 2)).toEqual([
    { arn: secret.ARN, label: 'AWSCURRENT', version: secret.VersionId },
    { arn: secret.ARN, label: 'AWSCURRENT', version: token },
  ]);
});

test('stops at a failing step, leaves AWSPENDING, and refuses the next rotation', async () => {
  await using aws = await startAws();
  const functionArn = await deployFunction(
    aws.sdk,
    'broken',
    "export const handler = async ({ Step }) => { if (Step === 'testSecret') throw new Error('refused'); };",
  );
  const { ARN } = await aws.secrets.send(new CreateSecretCommand({ Name: 'stuck', SecretString: 'one' }));
  const rotate = new RotateSecretCommand({ SecretId: 'stuck', RotationLambdaARN: functionArn });
  const { VersionId: token = '' } = await aws.secrets.send(rotate);
  await fetch(`${aws.url}/_keyturn/idle`);

  expect(aws.engine.rotationOf(ARN ?? '')).toMatchObject({
    state: 'failed',
    step: 'testSecret',
    attempts: 3,
  });
  expect(String(aws.engine.rotationOf(ARN ?? '')?.error)).toContain('refused');
  const described = await aws.secrets.send(new DescribeSecretCommand({ SecretId: 'stuck' }));
  expect(described.VersionIdsToStages?.[token]).toEqual(['AWSPENDING']);
  await expect(aws.secrets.send(new RotateSecretCommand({ SecretId: 'stuck' }))).rejects.toMatchObject({
    name: 'InvalidRequestException',
    message: "A previous rotation isn't complete. That rotation will be reattempted.",
  });
});

test('rotates by schedule when the clock is moved, and tells its time in the Date header', async () => {
  await using aws = await startAws();
  const functionArn = await deployFunction(aws.sdk, 'rotator', rotatorSource);
  await aws.secrets.send(new CreateSecretCommand({ Name: 'scheduled', SecretString: '{"generation":0}' }));
  await aws.secrets.send(
    new RotateSecretCommand({
      SecretId: 'scheduled',
      RotationLambdaARN: functionArn,
      RotationRules: { AutomaticallyAfterDays: 30 },
    }),
  );
  await aws.engine.idle();
  const advanced = await fetch(`${aws.url}/_keyturn/clock`, {
    method: 'POST',
    body: JSON.stringify({ advanceMs: 30 * 24 * 3_600_000 }),
  });
  const { now } = z.object({ now: z.iso.datetime() }).parse(await advanced.json());
  await aws.engine.idle();
  const value = await aws.secrets.send(new GetSecretValueCommand({ SecretId: 'scheduled' }));
  expect(value.SecretString).toBe('{"generation":2}');
  const answer = await fetch(aws.url, {
    method: 'POST',
    headers: { 'x-amz-target': 'secretsmanager.ListSecrets' },
    body: '{}',
  });
  expect(Date.parse(answer.headers.get('date') ?? '')).toBeGreaterThanOrEqual(Date.parse(now) - 1000);
});

test('gives a secret that is created again an ARN of its own', async () => {
  await using aws = await startAws();
  const create = new CreateSecretCommand({ Name: 'again', SecretString: 'one' });
  const { ARN: first } = await aws.secrets.send(create);
  await aws.engine.DeleteSecret({ SecretId: 'again', ForceDeleteWithoutRecovery: true });
  const { ARN: second } = await aws.secrets.send(
    new CreateSecretCommand({ Name: 'again', SecretString: 'two' }),
  );
  expect(second).not.toBe(first);
  const stages = ['AWSPENDING', 'blue'];
  const put = { SecretId: 'again', SecretString: 'three', VersionStages: stages };
  expect((await aws.secrets.send(new PutSecretValueCommand(put))).VersionStages).toEqual(stages);
});

type Sdk = { endpoint: string; region: string; credentials: typeof credentials };

async function queueOfLabelEvents(sdk: Sdk): Promise<string> {
  const { QueueUrl = '' } = await new SQSClient(sdk).send(
    new CreateQueueCommand({ QueueName: 'label-events' }),
  );
  const events = new EventBridgeClient(sdk);
  const pattern = { source: ['aws.secretsmanager'], 'detail-type': ['Secret Label Updated'] };
  await events.send(new PutRuleCommand({ Name: 'labels', EventPattern: JSON.stringify(pattern) }));
  const Arn = `arn:aws:sqs:${region}:000000000000:label-events`;
  await events.send(new PutTargetsCommand({ Rule: 'labels', Targets: [{ Id: 'queue', Arn }] }));
  return QueueUrl;
}

const labelEvent = z.object({
  resources: z.tuple([z.string()]),
  detail: z.object({ labelUpdated: z.string(), versionId: z.string() }),
});

async function labelEvents(queueUrl: string, sdk: Sdk, count: number) {
  const client = new SQSClient(sdk);
  const received: { arn: string; label: string; version: string }[] = [];
  await until(`${count} label events`, async () => {
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({ QueueUrl: queueUrl, WaitTimeSeconds: 1 }),
    );
    for (const { Body = '' } of Messages) {
      const { resources, detail } = labelEvent.parse(JSON.parse(Body));
      received.push({ arn: resources[0], label: detail.labelUpdated, version: detail.versionId });
    }
    return received.length >= count;
  });
  return received;
}
