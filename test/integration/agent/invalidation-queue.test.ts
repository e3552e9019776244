import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateEventBusCommand,
  EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import {
  CreateTopicCommand,
  ListSubscriptionsByTopicCommand,
  PublishCommand,
  SNSClient,
} from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ListQueuesCommand,
  ListQueueTagsCommand,
  QueueNameExists,
  ReceiveMessageCommand,
  SQSClient,
  TagQueueCommand,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AgentSecretsOptions, createAgentSecrets } from '../../../agent/index.ts';
import { openInvalidationQueue } from '../../../agent/invalidation-queue.ts';
import { sweepInvalidationQueues } from '../../../agent/queue-sweep.ts';
import { startMinistack } from '../../../local/ministack/server.ts';
import { freePort } from '../../../local/ports.ts';
import { until } from '../../../local/until.ts';
import { Store, secret } from '../../unit/agent/setting.ts';

let ministack: Awaited<ReturnType<typeof startMinistack>>;
let topicArn: string;
let sns: SNSClient;
let sqs: SQSClient;
let aws: { region: string; endpoint: string; credentials: { accessKeyId: string; secretAccessKey: string } };

beforeAll(async () => {
  const port = await freePort();
  ministack = await startMinistack({
    port,
    workerEndpoint: `http://127.0.0.1:${port}`,
    logFile: join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'ministack.log'),
  });
  aws = {
    region: 'eu-central-1',
    endpoint: ministack.url,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  };
  sns = new SNSClient(aws);
  sqs = new SQSClient(aws);
  topicArn = (await sns.send(new CreateTopicCommand({ Name: 'invalidations' }))).TopicArn ?? '';
});
afterAll(async () => ministack?.[Symbol.asyncDispose]());

const queues = async () =>
  (await sqs.send(new ListQueuesCommand({ QueueNamePrefix: 'keyturn-agent-' }))).QueueUrls ?? [];
const subscriptions = async () =>
  (await sns.send(new ListSubscriptionsByTopicCommand({ TopicArn: topicArn }))).Subscriptions ?? [];
const agentOn = (store: Store, options: Partial<AgentSecretsOptions> = {}) =>
  createAgentSecrets({ agentId: 'billing-7', topicArn, instanceId: 'pod-1', source: store, aws, ...options });

/** As invalidate-caches says that AWSCURRENT moved. */
function publish(store: Store, agentId = 'billing-7') {
  const { versionId, versionCreatedAt, movedAt, secretArn } = store.rotate();
  const iso = (at: number) => new Date(at).toISOString();
  const message = {
    schemaVersion: 1,
    agentId,
    secret,
    secretArn,
    versionId,
    versionCreatedAt: iso(versionCreatedAt),
    movedAt: iso(movedAt),
  };
  return sns.send(new PublishCommand({ TopicArn: topicArn, Message: JSON.stringify(message) }));
}

test('an agent with a topic makes its queue, hears of its own secrets, and removes what it made', async () => {
  const store = new Store();
  const agent = agentOn(store);
  const first = await agent.get(secret);
  await until('the agent hears', async () => agent.connected || undefined);
  expect(await queues()).toHaveLength(1);
  expect(await subscriptions()).toHaveLength(1);

  await publish(store);
  await until('the new version is here', async () => (await agent.get(secret)).versionId !== first.versionId);

  await agent.close();
  expect(await queues()).toEqual([]);
  expect(await subscriptions()).toEqual([]);
});

test("another agent's notices do not reach it, and what was read before it heard is read again", async () => {
  const store = new Store();
  const said: string[] = [];
  await using agent = agentOn(store, { log: { warn: (message) => said.push(message) } });
  await agent.get(secret);
  await until('the agent hears', async () => agent.connected || undefined);
  await agent.get(secret);
  expect(store.fetches).toHaveLength(2);
  await publish(store, 'research-1');
  await publish(store);
  const newest = store.current;
  await until('the agent heard', async () => Number((await agent.get(secret)).versionId) === newest);
  expect(said).toEqual([]);
});

test('a queue that is removed under an agent is made anew, and what came meanwhile is read', async () => {
  const store = new Store();
  await using agent = agentOn(store);
  await agent.get(secret);
  await until('the agent hears', async () => agent.connected || undefined);
  const [QueueUrl] = await queues();
  await sqs.send(new DeleteQueueCommand({ QueueUrl }));
  await publish(store);
  const newest = store.current;
  await until(
    'the agent is up to date',
    async () => Number((await agent.get(secret)).versionId) === newest,
    45_000, // A poll that is under way goes on for 20 s.
  );
  await until('the agent hears again', async () => agent.connected && (await queues()).length === 1);
});

test('what killed instances left behind is removed by a sweep of their agent, and nothing else is', async () => {
  const lost = { sqs, sns, topicArn, agentId: 'billing-7' };
  const seen = (queueUrl: string, hoursAgo: number) =>
    sqs.send(
      new TagQueueCommand({
        QueueUrl: queueUrl,
        Tags: { 'keyturn:seen': new Date(Date.now() - hoursAgo * 3_600_000).toISOString() },
      }),
    );
  const dead = await openInvalidationQueue({ ...lost, instanceId: 'killed' });
  await seen(dead.queueUrl, 9);
  await using living = await openInvalidationQueue({ ...lost, instanceId: 'living' });
  await seen(living.queueUrl, 7);
  await using others = await openInvalidationQueue({
    ...lost,
    agentId: 'billing-7-eu',
    instanceId: 'killed',
  });
  await seen(others.queueUrl, 9);
  expect(await sweepInvalidationQueues({ sqs, sns, agentId: 'billing-7' })).toBe(1);
  expect((await queues()).sort()).toEqual([living.queueUrl, others.queueUrl].sort());
  expect(await subscriptions()).toHaveLength(2);
});

test('only the topic may send to the queue, and it keeps an hour of notices', async () => {
  await using queue = await openInvalidationQueue({
    sqs,
    sns,
    topicArn,
    agentId: 'a/b c',
    instanceId: 'x'.repeat(200),
  });
  const { Attributes = {} } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: queue.queueUrl, AttributeNames: ['All'] }),
  );
  expect(JSON.parse(Attributes.Policy ?? '').Statement).toEqual([
    {
      Effect: 'Allow',
      Principal: { Service: 'sns.amazonaws.com' },
      Action: 'sqs:SendMessage',
      Resource: '*',
      Condition: { ArnEquals: { 'aws:SourceArn': topicArn } },
    },
  ]);
  expect(Attributes.MessageRetentionPeriod).toBe('3600');
});

test('a topic that can not be subscribed leaves no queue, and an agent goes on without notices', async () => {
  const nowhere = topicArn.replace('invalidations', 'nowhere');
  await expect(
    openInvalidationQueue({ sqs, sns, topicArn: nowhere, agentId: 'lost', instanceId: 'pod-1' }),
  ).rejects.toThrow();
  expect(await queues()).toEqual([]);
  const agent = agentOn(new Store(), { topicArn: nowhere });
  await expect(agent.get(secret)).resolves.toMatchObject({ stages: ['AWSCURRENT'] });
  expect(agent.connected).toBe(false);
  await agent.close();
});

test('"Secret Adopted" reaches the bus with the agent, the instance and the version', async () => {
  const events = new EventBridgeClient(aws);
  await events.send(new CreateEventBusCommand({ Name: 'keyturn-test' }));
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: 'heard' }));
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }),
  );
  const pattern = { source: [{ prefix: 'keyturn.agent.' }], 'detail-type': ['Secret Adopted'] };
  await events.send(
    new PutRuleCommand({
      Name: 'adopted',
      EventBusName: 'keyturn-test',
      EventPattern: JSON.stringify(pattern),
    }),
  );
  await events.send(
    new PutTargetsCommand({
      Rule: 'adopted',
      EventBusName: 'keyturn-test',
      Targets: [{ Id: 'queue', Arn: Attributes?.QueueArn }],
    }),
  );
  const store = new Store();
  const source = {
    fetch: async (id: string) => ({
      ...(await store.fetch(id)),
      name: secret,
      arn: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/billing-7/credentials-a1B2c3',
    }),
  };
  await using agent = createAgentSecrets({
    agentId: 'billing-7',
    instanceId: 'pod-1',
    source,
    aws,
    eventBusName: 'keyturn-test',
  });
  const { versionId } = await agent.get(secret);
  const heard = await until('the event is heard', async () => {
    const { Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl }));
    return Messages?.[0]?.Body;
  });
  expect(JSON.parse(heard).detail).toMatchObject({
    agentId: 'billing-7',
    agentInstanceId: 'pod-1',
    versionId,
  });
});

test('an instance that dies right after it made its queue leaves one that the sweep can judge', async () => {
  const dying = new SNSClient(aws);
  dying.middlewareStack.add(
    () => async () => {
      throw new Error('killed');
    },
    { step: 'initialize' },
  );
  const made: string[] = [];
  const watched = new SQSClient(aws);
  watched.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        made.push(`${commandName} ${JSON.stringify(args.input)}`);
        // Dead: it can't clean up after itself either.
        if (commandName === 'DeleteQueueCommand') throw new Error('killed');
        return next(args);
      },
    { step: 'initialize' },
  );
  const options = { sqs: watched, sns: dying, topicArn, agentId: 'billing-7', instanceId: 'dying' };
  await expect(openInvalidationQueue(options)).rejects.toThrow('killed');
  const [QueueUrl = ''] = (await queues()).filter((url) =>
    made.join().includes(url.split('/').at(-1) ?? '?'),
  );
  const { Tags } = await sqs.send(new ListQueueTagsCommand({ QueueUrl }));
  expect(Tags).toMatchObject({ 'keyturn:agent': 'billing-7', 'keyturn:seen': expect.stringMatching(/^20/) });
  await sqs.send(new DeleteQueueCommand({ QueueUrl }));
});

test('an instance makes its queue again under the same id, whatever tags it has by now', async () => {
  const refusing = new SQSClient(aws);
  refusing.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        // As SQS does where the tags differ, and the local one doesn't.
        if (commandName === 'CreateQueueCommand' && 'tags' in args.input) {
          throw new QueueNameExists({ message: 'exists with other tags', $metadata: {} });
        }
        return next(args);
      },
    { step: 'initialize' },
  );
  const options = { sqs, sns, topicArn, agentId: 'billing-7', instanceId: 'again' };
  const first = await openInvalidationQueue(options);
  await using again = await openInvalidationQueue({ ...options, sqs: refusing });
  expect(again.queueUrl).toBe(first.queueUrl);
});
