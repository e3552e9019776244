import { createHash, randomUUID } from 'node:crypto';
import type { NotFoundException, SNSClient } from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  QueueDeletedRecently,
  QueueDoesNotExist,
  QueueNameExists,
  type SQSClient,
  TagQueueCommand,
} from '@aws-sdk/client-sqs';
import { agentQueuePrefix, queueDigits } from '../shared/notification/agent-names.ts';
import { errorClassOf } from '../shared/observability/error-class.ts';
import { type AgentLog, warn } from './log.ts';

/**
 * A queue of one agent instance, subscribed to the invalidations of its agent. Disposing it removes both, and never rejects:
 * what can't be removed is said to the log, and left to the sweep.
 */
export interface InvalidationQueue extends AsyncDisposable {
  readonly queueUrl: string;
  /** Says no more that it lives, and removes nothing: for one that is gone, before it is made anew. */
  abandon(): void;
}

export interface InvalidationQueueOptions {
  readonly sqs: SQSClient;
  readonly sns: SNSClient;
  /** The deployment's output `InvalidationTopicArn`. */
  readonly topicArn: string;
  readonly agentId: string;
  /** Two instances with the same id would share a queue, and each miss what the other reads. */
  readonly instanceId: string;
  /** Told each time that a subscription stands which didn't before: what was read until then may have changed unnoticed. */
  readonly onSubscribed?: (() => void) | undefined;
  readonly log?: AgentLog | undefined;
  /** From 0 up to 1. */
  readonly random?: (() => number) | undefined;
}

/** What is older is no news: the TTL of the cache has made up for it. */
const RETENTION_S = 3_600;
/** How often, at the least, an instance says that it lives and sees to its subscription. Each does so up to a quarter sooner. */
const RENEWED_WITHIN_MS = 3_600_000;

/**
 * Makes the queue of an instance and subscribes it to the topic, for its own agent's notices only. Made again under the same
 * id it is the same queue, unless that was deleted less than a minute ago: for so long SQS gives its name to nobody. Its tags say
 * whose it is, and when the instance was last alive: see `sweepInvalidationQueues`. Within each hour it is subscribed again, should
 * somebody have removed the subscription.
 *
 * The agent's role needs what `keyturn apply` gives it: sqs:CreateQueue, TagQueue, GetQueueAttributes, DeleteQueue, ReceiveMessage
 * and DeleteMessage on `keyturn-agent-{agentId}-*`, and sns:Subscribe and Unsubscribe on the topic.
 *
 * @example
 * await using queue = await openInvalidationQueue({ sqs, sns, topicArn, agentId: 'billing', instanceId: randomUUID() });
 */
export async function openInvalidationQueue(options: InvalidationQueueOptions): Promise<InvalidationQueue> {
  const { sqs, sns, topicArn, agentId, instanceId, log } = options;
  const { onSubscribed = () => undefined, random = Math.random } = options;
  const { NotFoundException, UnsubscribeCommand } = await import('@aws-sdk/client-sns');
  const wanted = {
    Attributes: {
      MessageRetentionPeriod: String(RETENTION_S),
      SqsManagedSseEnabled: 'true',
      Policy: JSON.stringify(onlyFrom(topicArn)),
    },
  };
  // All that the sweep needs is there from the start: an instance may die before its next call.
  const tags = {
    'keyturn:agent': agentId,
    'keyturn:instance': instanceId,
    'keyturn:seen': new Date().toISOString(),
  };
  const create = (QueueName: string) =>
    sqs.send(new CreateQueueCommand({ QueueName, ...wanted, tags })).catch((error: unknown) => {
      // SQS refuses a queue that is there with other tags; asked without any, it gives the one that is there.
      if (error instanceof QueueNameExists) return sqs.send(new CreateQueueCommand({ QueueName, ...wanted }));
      throw error;
    });
  const { QueueUrl: queueUrl = '' } = await create(queueName(agentId, instanceId)).catch((error: unknown) => {
    // The instance before ended a moment ago, and this one has its name: a pod of a StatefulSet that starts again.
    if (error instanceof QueueDeletedRecently)
      return create(queueName(agentId, `${instanceId} ${randomUUID()}`));
    throw error;
  });
  const deleteQueue = () => sqs.send(new DeleteQueueCommand({ QueueUrl: queueUrl }));
  try {
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] }),
    );
    const queueArn = Attributes?.QueueArn ?? '';
    let SubscriptionArn = await subscribed(queueArn, options);
    onSubscribed();
    const tag = () =>
      sqs.send(
        new TagQueueCommand({
          QueueUrl: queueUrl,
          Tags: { 'keyturn:seen': new Date().toISOString(), 'keyturn:subscription': SubscriptionArn ?? '' },
        }),
      );
    await tag();
    const renew = async () => {
      try {
        // Nothing is said of a filter that is still missing.
        const { log: _said, ...again } = options;
        const before = SubscriptionArn;
        SubscriptionArn = await subscribed(queueArn, again);
        if (SubscriptionArn !== before) onSubscribed();
      } catch (error) {
        warn(log, "The agent's queue could not be subscribed again", { error: errorClassOf(error) });
      }
      // One that goes amiss is made up for by the next.
      await tag().catch(() => undefined);
    };
    let renewing = Promise.resolve();
    const alive = setInterval(
      () => {
        renewing = renew();
      },
      RENEWED_WITHIN_MS * (1 - random() / 4),
    ).unref();
    return {
      queueUrl,
      abandon: () => clearInterval(alive),
      async [Symbol.asyncDispose]() {
        clearInterval(alive);
        await renewing;
        try {
          // The subscription first: without its queue nothing says any more that it is to go.
          await sns.send(new UnsubscribeCommand({ SubscriptionArn })).catch(unlessGone(NotFoundException));
          await deleteQueue().catch(unlessGone(QueueDoesNotExist));
        } catch (error) {
          warn(log, "The agent's queue could not be removed", { error: errorClassOf(error) });
        }
      },
    };
  } catch (error) {
    await deleteQueue().catch(() => undefined);
    throw error;
  }
}

/**
 * Subscribes a queue to the notices of its own agent: to those of all agents where the topic takes no more filters (AWS's quota is
 * 200 a topic), and where the queue is subscribed without one since it didn't. The listener drops those of others.
 */
async function subscribed(
  queueArn: string,
  { sns, topicArn, agentId, log }: InvalidationQueueOptions,
): Promise<string | undefined> {
  const { FilterPolicyLimitExceededException, InvalidParameterException, SubscribeCommand } = await import(
    '@aws-sdk/client-sns'
  );
  const subscribe = async (filter: Readonly<Record<string, string>>) => {
    const { SubscriptionArn } = await sns.send(
      new SubscribeCommand({
        TopicArn: topicArn,
        Protocol: 'sqs',
        Endpoint: queueArn,
        ReturnSubscriptionArn: true,
        Attributes: { RawMessageDelivery: 'true', ...filter },
      }),
    );
    return SubscriptionArn;
  };
  try {
    const FilterPolicy = JSON.stringify({ agentId: [agentId] });
    return await subscribe({ FilterPolicyScope: 'MessageBody', FilterPolicy });
  } catch (error) {
    const isFull = error instanceof FilterPolicyLimitExceededException;
    if (!isFull && !(error instanceof InvalidParameterException)) throw error;
    const subscription = await subscribe({});
    warn(log, "The queue hears other agents' notices too, and drops them: its subscription has no filter", {
      error: error.name,
    });
    return subscription;
  }
}

/** What somebody else has removed is removed. */
export const unlessGone = (Gone: typeof NotFoundException | typeof QueueDoesNotExist) => (error: unknown) => {
  if (!(error instanceof Gone)) throw error;
};

/** At most 80 characters of those that SQS takes; the digest keeps apart what would look alike. */
export function queueName(agentId: string, instanceId: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([agentId, instanceId]))
    .digest('hex');
  return `${agentQueuePrefix(agentId)}${digest.slice(0, queueDigits)}`;
}

/** SNS may send for this topic, and nobody for anything else. */
function onlyFrom(topicArn: string): object {
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Service: 'sns.amazonaws.com' },
        Action: 'sqs:SendMessage',
        Resource: '*',
        Condition: { ArnEquals: { 'aws:SourceArn': topicArn } },
      },
    ],
  };
}
