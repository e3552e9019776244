import { SNSClient, SubscribeCommand, UnsubscribeCommand } from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ListQueuesCommand,
  ListQueueTagsCommand,
  ReceiveMessageCommand,
  SQSClient,
  TagQueueCommand,
} from '@aws-sdk/client-sqs';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createAgentSecrets } from '../../../agent/index.ts';
import { sweepInvalidationQueues } from '../../../agent/queue-sweep.ts';
import { Store } from './setting.ts';

const sqs = mockClient(SQSClient);
const sns = mockClient(SNSClient);
afterAll(() => {
  sqs.restore();
  sns.restore();
});
const now = new Date();
const topicArn = 'arn:aws:sns:eu-central-1:123456789012:invalidations';
/** The queues of the agent, and how many hours ago each was last said to live. */
const queues = new Map<string, number>();
let mostAsked = 0;

/** SQS gives at most so many names a page; the real one a thousand. */
const page = 50;

beforeEach(() => {
  sqs.reset();
  sns.reset();
  queues.clear();
  mostAsked = 0;
  let asked = 0;
  sqs.on(ListQueuesCommand).callsFake(async ({ MaxResults, NextToken = '0' }) => {
    const from = Number(NextToken);
    const to = from + Math.min(MaxResults ?? page, page);
    const urls = [...queues.keys()];
    return {
      QueueUrls: urls.slice(from, to),
      // Only who names a size of pages is told that there is another.
      ...(MaxResults && to < urls.length && { NextToken: `${to}` }),
    };
  });
  sqs.on(ListQueueTagsCommand).callsFake(async ({ QueueUrl }) => {
    asked += 1;
    mostAsked = Math.max(mostAsked, asked);
    await Promise.resolve();
    asked -= 1;
    const seen = new Date(now.getTime() - (queues.get(QueueUrl) ?? 0) * 3_600_000).toISOString();
    return {
      Tags: {
        'keyturn:agent': 'billing-7',
        'keyturn:seen': seen,
        'keyturn:subscription': `${topicArn}:${QueueUrl}`,
      },
    };
  });
  sqs.on(DeleteQueueCommand).callsFake(async ({ QueueUrl }) => queues.delete(QueueUrl));
  sns.on(UnsubscribeCommand).resolves({});
});

const fleetOf = (living: number, dead = 0) => {
  for (let number = 0; number < living; number += 1) queues.set(`living-${number}`, 7);
  for (let number = 0; number < dead; number += 1) queues.set(`dead-${number}`, 9);
};
const asks = () => sqs.commandCalls(ListQueueTagsCommand).length;
const sweep = () =>
  sweepInvalidationQueues({ sqs: new SQSClient(), sns: new SNSClient(), agentId: 'billing-7' }, now);

describe('a sweep', () => {
  test('asks about a few of many instances, one at a time, so that all may start at once', async () => {
    fleetOf(300);
    expect(await sweep()).toBe(0);
    expect(asks()).toBe(20);
    expect(mostAsked).toBe(1);
  });

  test('removes all that a crash loop left behind, with their subscriptions, however many they are', async () => {
    fleetOf(3, 120);
    expect(await sweep()).toBe(120);
    expect([...queues.keys()]).toEqual(['living-0', 'living-1', 'living-2']);
    expect(sns.commandCalls(UnsubscribeCommand)).toHaveLength(120);
  });

  test('of a large fleet finds each one that is gone in the end', async () => {
    fleetOf(100, 1);
    for (let start = 0; start < 100 && queues.has('dead-0'); start += 1) await sweep();
    expect(queues).not.toContain('dead-0');
  });
});

describe('an agent', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    sqs.on(CreateQueueCommand).resolves({ QueueUrl: 'own' });
    sqs
      .on(GetQueueAttributesCommand)
      .resolves({ Attributes: { QueueArn: 'arn:aws:sqs:eu-central-1:1:queue' } });
    sqs.on(TagQueueCommand).resolves({});
    sns.on(SubscribeCommand).resolves({ SubscriptionArn: `${topicArn}:own` });
  });
  afterEach(() => vi.useRealTimers());

  async function started() {
    const polled = Promise.withResolvers<void>();
    const closing = Promise.withResolvers<never>();
    sqs.on(ReceiveMessageCommand).callsFake(() => {
      polled.resolve();
      return closing.promise;
    });
    const agent = createAgentSecrets({
      agentId: 'billing-7',
      topicArn,
      source: new Store(),
      aws: { region: 'eu-central-1' },
      random: () => 0.5,
    });
    await polled.promise;
    return async () => {
      const closed = agent.close();
      closing.reject(new Error('aborted'));
      await closed;
    };
  }

  test('sweeps some minutes after its start, not with all that start at the same time', async () => {
    fleetOf(300);
    const close = await started();
    await vi.advanceTimersByTimeAsync(140_000);
    expect(sqs.commandCalls(ListQueuesCommand)).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(20_000);
    await vi.waitUntil(() => asks() === 20, { timeout: 4_000 });
    await close();
  });

  test('that ends before then sweeps no more', async () => {
    const close = await started();
    await close();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(sqs.commandCalls(ListQueuesCommand)).toHaveLength(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
