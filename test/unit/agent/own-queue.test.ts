import { hostname } from 'node:os';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import {
  FilterPolicyLimitExceededException,
  InvalidParameterException,
  NotFoundException,
  SNSClient,
  SNSServiceException,
  SubscribeCommand,
  UnsubscribeCommand,
} from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  QueueDeletedRecently,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SQSClient,
  TagQueueCommand,
} from '@aws-sdk/client-sqs';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AgentClosedError, type AgentSecretsOptions, createAgentSecrets } from '../../../agent/index.ts';
import { queueName } from '../../../agent/invalidation-queue.ts';
import { bodyOf, Store, secret, secretArn, versionIdOf } from './setting.ts';

const sqs = mockClient(SQSClient);
const sns = mockClient(SNSClient);
const events = mockClient(EventBridgeClient);
afterAll(() => {
  for (const client of [sqs, sns, events]) client.restore();
});
const topicArn = 'arn:aws:sns:eu-central-1:123456789012:invalidations';
const failure = { message: 'the message', $metadata: {} };
/** Queues that are there. */
const queues = new Set<string>();
/** What the next polls meet; after them one waits until the agent closes. */
const polls: (string[] | Error)[] = [];
const said: string[] = [];
/** How often SNS was asked for a subscription, and those that there are, by the queue's ARN. */
let subscriptions = 0;
const standing = new Map<string, string>();

beforeEach(() => {
  for (const client of [sqs, sns, events]) client.reset();
  events.on(PutEventsCommand).resolves({});
  for (const list of [polls, said]) list.length = 0;
  queues.clear();
  standing.clear();
  subscriptions = 0;
  sqs.on(CreateQueueCommand).callsFake(async ({ QueueName }: { QueueName: string }) => {
    queues.add(QueueName);
    return { QueueUrl: QueueName };
  });
  sqs.on(GetQueueAttributesCommand).callsFake(async ({ QueueUrl }: { QueueUrl: string }) => ({
    Attributes: { QueueArn: `arn:aws:sqs:eu-central-1:1:${QueueUrl}` },
  }));
  sqs.on(TagQueueCommand).resolves({});
  sqs.on(DeleteMessageBatchCommand).resolves({});
  sqs.on(DeleteQueueCommand).callsFake(async ({ QueueUrl }: { QueueUrl: string }) => queues.delete(QueueUrl));
  sqs.on(ReceiveMessageCommand).callsFake(async () => {
    const next = polls.shift();
    if (next instanceof Error) throw next;
    if (next) return { Messages: next.map((Body) => ({ Body, ReceiptHandle: 'r' })) };
    return closing.promise;
  });
  sns.on(SubscribeCommand).callsFake(async ({ Endpoint }: { Endpoint: string }) => {
    subscriptions += 1;
    const SubscriptionArn = standing.get(Endpoint) ?? `${topicArn}:${subscriptions}`;
    standing.set(Endpoint, SubscriptionArn);
    return { SubscriptionArn };
  });
  sns.on(UnsubscribeCommand).callsFake(async ({ SubscriptionArn }: { SubscriptionArn: string }) => {
    for (const [endpoint, arn] of standing) if (arn === SubscriptionArn) standing.delete(endpoint);
  });
});
let closing = Promise.withResolvers<never>();
beforeEach(() => {
  closing = Promise.withResolvers<never>();
  closing.promise.catch(() => undefined);
});

function agentOn(
  agentId: string,
  options: Partial<AgentSecretsOptions> = {},
  create: typeof createAgentSecrets = createAgentSecrets,
) {
  const agent = create({
    agentId,
    topicArn,
    source: new Store(),
    aws: { region: 'eu-central-1' },
    log: { warn: (message, fields) => said.push(`${message}: ${Object.values(fields).join()}`) },
    ...options,
  });
  return {
    agent,
    close: async () => {
      const closed = agent.close();
      closing.reject(new Error('aborted'));
      await closed;
    },
  };
}
const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 4_000 });

describe('two agents of one id', () => {
  const adoptedAs = () =>
    events
      .commandCalls(PutEventsCommand)
      .map(({ args }) => JSON.parse(args[0].input.Entries?.[0]?.Detail ?? '').agentInstanceId);

  test('in one process have a queue and an instance id each, and one keeps its queue when the other closes', async () => {
    const source = new Store();
    const named = { fetch: async (id: string) => ({ ...(await source.fetch(id)), arn: secretArn }) };
    const bus = { source: named, eventBusName: 'keyturn-test' };
    const [one, other] = [agentOn('billing-7', bus), agentOn('billing-7', bus)];
    for (const { agent } of [one, other]) await agent.get(secret);
    await until(() => queues.size === 2 && adoptedAs().length === 2);
    const [first, second] = adoptedAs();
    expect(first).toMatch(`${hostname()}-${process.pid}`);
    expect(second).not.toBe(first);
    await one.close();
    expect(queues.size).toBe(1);
    await other.close();
  });

  test('in containers that share host name and process id have a queue each', async () => {
    const one = agentOn('pair-1');
    vi.resetModules();
    const { createAgentSecrets: createInAnother } = await import('../../../agent/index.ts');
    const other = agentOn('pair-1', {}, createInAnother);
    await until(() => subscriptions === 2);
    expect(queues.size).toBe(2);
    await one.close();
    expect(queues.size).toBe(1);
    await other.close();
  });

  test('that are told who they are keep to that: one that starts again finds its queue', async () => {
    const agents = [agentOn('pair-2', { instanceId: 'pod-1' }), agentOn('pair-3', { instanceId: 'pod-1' })];
    await until(() => queues.size === 2);
    expect(queues).toEqual(new Set([queueName('pair-2', 'pod-1'), queueName('pair-3', 'pod-1')]));
    for (const { close } of agents) await close();
  });
});

test('an instance that starts again at once, under the name of one that ended, hears through another queue', async () => {
  const taken = queueName('billing-7', 'pod-1');
  const made = sqs.on(CreateQueueCommand);
  made.callsFake(async ({ QueueName }: { QueueName: string }) => {
    if (QueueName === taken) throw new QueueDeletedRecently(failure);
    queues.add(QueueName);
    return { QueueUrl: QueueName };
  });
  const { close } = agentOn('billing-7', { instanceId: 'pod-1' });
  await until(() => subscriptions === 1);
  expect(queues.size).toBe(1);
  expect(queues).not.toContain(taken);
  expect(said).toEqual([]);
  await close();
  expect(queues.size).toBe(0);
});

describe('an agent that ends', () => {
  const heard = () => until(() => subscriptions === 1 && sqs.commandCalls(ReceiveMessageCommand).length > 0);

  test('does so without an error where somebody removed its queue and its subscription before it', async () => {
    sqs.on(DeleteQueueCommand).rejects(new QueueDoesNotExist(failure));
    sns.on(UnsubscribeCommand).rejects(new NotFoundException(failure));
    const { close } = agentOn('billing-7');
    await heard();
    await close();
    expect(said).toEqual([]);
  });

  test('does so where its credentials have expired, and leaves the queue with its subscription to be swept', async () => {
    const expired = { ...failure, name: 'ExpiredTokenException', $fault: 'client' } as const;
    sns.on(UnsubscribeCommand).rejects(new SNSServiceException(expired));
    const { close } = agentOn('billing-7');
    await heard();
    await close();
    expect(said).toEqual(["The agent's queue could not be removed: ExpiredTokenException"]);
    expect(queues.size, 'its tags name the subscription').toBe(1);
  });

  test('hears no more and serves no secret, though a connection is still in use, and waits for it', async () => {
    const { agent, close } = agentOn('billing-7');
    await heard();
    const ending = Promise.withResolvers<void>();
    const driver = { open: async () => 'a client', close: () => undefined, isAuthFailure: () => false };
    const working = agent.connections(secret, driver).use(() => ending.promise);
    await until(() => agent.held(secret) !== undefined);
    let isClosed = false;
    const closed = close().then(() => {
      isClosed = true;
    });
    expect(agent.held(secret)).toBeUndefined();
    await expect(agent.get(secret)).rejects.toThrow(AgentClosedError);
    await expect(agent.refreshNow(secret)).rejects.toThrow(AgentClosedError);
    await until(() => queues.size === 0);
    expect(sns.commandCalls(UnsubscribeCommand)).toHaveLength(1);
    expect(isClosed).toBe(false);
    ending.resolve();
    await Promise.all([working, closed]);
  });
});

describe('within each hour', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  });
  afterEach(() => vi.useRealTimers());
  const hourPassed = async () => {
    sqs.resetHistory();
    await vi.advanceTimersByTimeAsync(3_600_000);
    await until(() => tags().length > 0);
  };
  const tags = () => sqs.commandCalls(TagQueueCommand).map(({ args }) => args[0].input.Tags);

  test('a queue that was made anew says that it lives, and the one before it no more', async () => {
    polls.push([], new QueueDoesNotExist(failure));
    const { close } = agentOn('billing-7');
    await until(() => subscriptions === 2 && vi.getTimerCount() > 0);
    await hourPassed();
    expect(tags()).toMatchObject([{ 'keyturn:subscription': [...standing.values()][0] }]);
    await close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a subscription that was removed under an agent stands again, and what came meanwhile is read', async () => {
    const store = new Store();
    const { agent, close } = agentOn('billing-7', { source: store });
    await until(() => vi.getTimerCount() > 0);
    await agent.get(secret);
    standing.clear();
    store.now += 60_000;
    const { versionId } = store.rotate();
    await hourPassed();
    expect(standing.size).toBe(1);
    expect((await agent.get(secret)).versionId).toBe(versionId);
    expect(tags().at(-1)).toMatchObject({ 'keyturn:subscription': [...standing.values()][0] });
    await close();
    expect(standing.size, 'the new one is removed').toBe(0);
  });

  test('a subscription that stands costs no read', async () => {
    const store = new Store();
    const { agent, close } = agentOn('billing-7', { source: store });
    await until(() => vi.getTimerCount() > 0);
    await agent.get(secret);
    await hourPassed();
    await agent.get(secret);
    expect(store.fetches).toHaveLength(1);
    await close();
  });

  test('one that can not be subscribed again says so, and that it lives', async () => {
    const { close } = agentOn('billing-7');
    await until(() => vi.getTimerCount() > 0);
    sns.on(SubscribeCommand).rejects(new NotFoundException(failure));
    await hourPassed();
    expect(said).toEqual(["The agent's queue could not be subscribed again: NotFoundException"]);
    expect(tags()).toHaveLength(1);
    await close();
  });
});

describe('where the topic takes no more filters', () => {
  afterEach(() => vi.useRealTimers());

  test.each([
    ['for there are too many', new FilterPolicyLimitExceededException(failure)],
    ['for the queue is subscribed without one', new InvalidParameterException(failure)],
  ])(
    "an agent subscribes without one (%s), says so once, and drops other agents' notices",
    async (_, error) => {
      sns.on(SubscribeCommand).callsFake(async ({ Attributes }: { Attributes: Record<string, string> }) => {
        if (Attributes.FilterPolicy) throw error;
        expect(Attributes).toEqual({ RawMessageDelivery: 'true' });
        return { SubscriptionArn: `${topicArn}:1` };
      });
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      const store = new Store();
      const [theirs, own] = [bodyOf(store.rotate(), 'billing-8'), bodyOf(store.rotate(), 'billing-7')];
      polls.push([], [theirs, theirs], [theirs, own]);
      const { agent, close } = agentOn('billing-7', { source: store });
      await until(() => sqs.commandCalls(DeleteMessageBatchCommand).length === 2);
      await agent.get(secret);
      expect(
        store.fetches.map(({ versionId }) => versionId),
        'by the id that it was told',
      ).toEqual([versionIdOf(2)]);
      await vi.advanceTimersByTimeAsync(3_600_000);
      await until(() => sns.commandCalls(SubscribeCommand).length === 4);
      expect(said).toEqual([
        `The queue hears other agents' notices too, and drops them: its subscription has no filter: ${error.name}`,
        "A message had no effect: another agent's,",
      ]);
      await close();
    },
  );
});
