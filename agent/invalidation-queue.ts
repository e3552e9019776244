import { createHash } from 'node:crypto';
import type { SNSClient } from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';

/** A queue of one agent instance, subscribed to the invalidations of its agent. Disposing it removes both. */
export interface InvalidationQueue extends AsyncDisposable {
  readonly queueUrl: string;
}

export interface InvalidationQueueOptions {
  readonly sqs: SQSClient;
  readonly sns: SNSClient;
  /** The deployment's output `InvalidationTopicArn`. */
  readonly topicArn: string;
  readonly agentId: string;
  /** Two instances with the same id would share a queue, and each miss what the other reads. */
  readonly instanceId: string;
}

/** What is older is no news: the TTL of the cache has made up for it. */
const RETENTION_S = 3_600;

/**
 * Makes the queue of an instance and subscribes it to the topic, for its own agent's notices only. Made again under the same
 * id it is the same queue. An instance that is killed leaves its queue behind: it costs nothing while nobody reads it, and
 * carries the tags `keyturn:agent` and `keyturn:instance` to be found by.
 *
 * The agent's role needs sqs:CreateQueue, TagQueue, GetQueueAttributes, DeleteQueue, ReceiveMessage and DeleteMessage on
 * `keyturn-agent-*`, and sns:Subscribe and Unsubscribe on the topic.
 *
 * @example
 * await using queue = await openInvalidationQueue({ sqs, sns, topicArn, agentId: 'billing', instanceId: hostname() });
 */
export async function openInvalidationQueue(options: InvalidationQueueOptions): Promise<InvalidationQueue> {
  const { sqs, sns, topicArn, agentId, instanceId } = options;
  const { SubscribeCommand, UnsubscribeCommand } = await import('@aws-sdk/client-sns');
  const { QueueUrl: queueUrl = '' } = await sqs.send(
    new CreateQueueCommand({
      QueueName: queueName(agentId, instanceId),
      Attributes: {
        MessageRetentionPeriod: String(RETENTION_S),
        SqsManagedSseEnabled: 'true',
        Policy: JSON.stringify(onlyFrom(topicArn)),
      },
      tags: { 'keyturn:agent': agentId, 'keyturn:instance': instanceId },
    }),
  );
  const deleteQueue = () => sqs.send(new DeleteQueueCommand({ QueueUrl: queueUrl }));
  try {
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] }),
    );
    const { SubscriptionArn } = await sns.send(
      new SubscribeCommand({
        TopicArn: topicArn,
        Protocol: 'sqs',
        Endpoint: Attributes?.QueueArn,
        ReturnSubscriptionArn: true,
        Attributes: {
          RawMessageDelivery: 'true',
          FilterPolicyScope: 'MessageBody',
          FilterPolicy: JSON.stringify({ agentId: [agentId] }),
        },
      }),
    );
    return {
      queueUrl,
      async [Symbol.asyncDispose]() {
        // Both are tried; a subscription without its queue ends by itself, since SNS can't deliver.
        const removed = await Promise.allSettled([
          sns.send(new UnsubscribeCommand({ SubscriptionArn })),
          deleteQueue(),
        ]);
        const failed = removed.find((result) => result.status === 'rejected');
        if (failed) throw failed.reason;
      },
    };
  } catch (error) {
    await deleteQueue().catch(() => undefined);
    throw error;
  }
}

/** At most 80 characters of those that SQS takes; the digest keeps apart what would look alike. */
export function queueName(agentId: string, instanceId: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([agentId, instanceId]))
    .digest('hex');
  return `keyturn-agent-${agentId.replaceAll(/[^\w-]/g, '-').slice(0, 40)}-${digest.slice(0, 20)}`;
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
