import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CloudFormationClient,
  CreateStackCommand,
  DescribeStacksCommand,
} from '@aws-sdk/client-cloudformation';
import { startMinistack } from '../../../local/ministack/server.ts';
import { freePort } from '../../../local/ports.ts';
import { type SecretsManager, startSecretsManager } from '../../../local/secrets-manager/http.ts';
import { until } from '../../../local/until.ts';

export const region = 'eu-central-1';
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };

/** Secrets Manager and ministack, with a stack `keyturn-dev` of what the command reads: no function of ours runs here. */
export interface Aws extends AsyncDisposable {
  readonly secretsManager: SecretsManager;
  readonly sdk: {
    readonly endpoint: string;
    readonly region: string;
    readonly credentials: typeof credentials;
  };
  readonly outputs: Readonly<Record<string, string>>;
  /** What the command needs of its environment. */
  readonly env: Readonly<Record<string, string>>;
}

export async function startAws(): Promise<Aws> {
  await using parts = new AsyncDisposableStack();
  const [port, ministackPort] = [await freePort(), await freePort()];
  const endpoint = `http://127.0.0.1:${port}`;
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-')), 'ministack.log');
  const ministack = parts.use(
    await startMinistack({ port: ministackPort, workerEndpoint: endpoint, logFile }),
  );
  const secretsManager = parts.use(
    await startSecretsManager({ port, ministackUrl: ministack.url, region, retryDelayMs: 10, attempts: 1 }),
  );
  const sdk = { endpoint, region, credentials };
  const outputs = await deployed(sdk);
  const all = parts.move();
  return {
    secretsManager,
    sdk,
    outputs,
    env: {
      AWS_ENDPOINT_URL: endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

const kebab = (name: string) => name.replace(/(?<=[a-z])[A-Z]/, '-$&').toLowerCase();

const template = {
  Resources: {
    Table: {
      Type: 'AWS::DynamoDB::Table',
      Properties: {
        TableName: 'keyturn-dev-state',
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      },
    },
    Declarations: {
      Type: 'AWS::DynamoDB::Table',
      Properties: {
        TableName: 'keyturn-dev-declarations',
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [{ AttributeName: 'agentId', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'agentId', KeyType: 'HASH' }],
      },
    },
    Bus: { Type: 'AWS::Events::EventBus', Properties: { Name: 'keyturn-dev' } },
    Alerts: { Type: 'AWS::SNS::Topic', Properties: { TopicName: 'keyturn-dev-alerts' } },
    Schedules: { Type: 'AWS::Scheduler::ScheduleGroup', Properties: { Name: 'keyturn-dev-grace' } },
    DeadLetters: { Type: 'AWS::SQS::Queue', Properties: { QueueName: 'keyturn-dev-dead-letters' } },
    MirrorQueue: { Type: 'AWS::SQS::Queue', Properties: { QueueName: 'keyturn-dev-mirrors' } },
    MirrorDeadLetters: {
      Type: 'AWS::SQS::Queue',
      Properties: { QueueName: 'keyturn-dev-mirror-dead-letters' },
    },
  },
  Outputs: {
    StateTableName: { Value: { Ref: 'Table' } },
    DeclarationsTableName: { Value: { Ref: 'Declarations' } },
    BusName: { Value: { Ref: 'Bus' } },
    AlertTopicArn: { Value: { Ref: 'Alerts' } },
    GraceScheduleGroupName: { Value: { Ref: 'Schedules' } },
    // A test that needs one of these deploys it.
    ...Object.fromEntries(
      ['RotateSecret', 'ReconcileFleet', 'ReconcileMirrors'].map((name) => [
        `${name}FunctionArn`,
        { Value: `arn:aws:lambda:${region}:000000000000:function:keyturn-dev-${kebab(name)}` },
      ]),
    ),
    InvalidationTopicArn: { Value: 'arn:aws:sns:eu-central-1:000000000000:keyturn-dev-invalidations' },
    SecretsKeyArn: { Value: 'arn:aws:kms:eu-central-1:000000000000:key/1' },
  },
};

async function deployed(sdk: Aws['sdk']): Promise<Readonly<Record<string, string>>> {
  const client = new CloudFormationClient(sdk);
  const StackName = 'keyturn-dev';
  await client.send(new CreateStackCommand({ StackName, TemplateBody: JSON.stringify(template) }));
  return until('the stack is there', async () => {
    const { Stacks: [stack] = [] } = await client.send(new DescribeStacksCommand({ StackName }));
    if (stack?.StackStatus !== 'CREATE_COMPLETE') return undefined;
    return Object.fromEntries(
      (stack.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey ?? '', OutputValue ?? '']),
    );
  });
}
