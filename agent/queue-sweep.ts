import { DeleteQueueCommand, ListQueueTagsCommand, paginateListQueues } from '@aws-sdk/client-sqs';
import { agentQueuePrefix } from '../shared/notification/agent-names.ts';
import { type InvalidationQueueOptions, unlessGone } from './invalidation-queue.ts';

/** Whose queues are swept, and how the sweep is ended early. */
export interface QueueSweepOptions extends Pick<InvalidationQueueOptions, 'sqs' | 'sns' | 'agentId'> {
  readonly signal?: AbortSignal | undefined;
  /** From 0 up to 1. */
  readonly random?: (() => number) | undefined;
}

/** After how long a silence an instance counts as gone: each that lives speaks within an hour. */
const GONE_AFTER_MS = 8 * 3_600_000;
/** Queues that live, after which a sweep ends. If each of a fleet's instances asked about all, their number would count squared. */
const LIVING_MAX = 20;
/** The most that SQS gives a page. */
const PAGE = 1_000;

/**
 * Removes the queues, and their subscriptions, that instances of an agent left behind when they were killed: those that have
 * not been said to live for eight hours. It takes them at random and one by one, and ends when it has come upon 20 that live, so that of
 * many instances that start each looks at a few. Two may do it at once. One that lives after all makes its queue anew when its
 * next poll doesn't find it. Gives how many were removed.
 *
 * The agent's role needs sqs:ListQueues, and sqs:ListQueueTags on `keyturn-agent-{agentId}-*`, besides what
 * `openInvalidationQueue` needs.
 */
export async function sweepInvalidationQueues(
  options: QueueSweepOptions,
  now: Date = new Date(),
): Promise<number> {
  const { sqs, agentId, signal, random = Math.random } = options;
  const left: string[] = [];
  const wanted = { QueueNamePrefix: agentQueuePrefix(agentId), MaxResults: PAGE };
  for await (const { QueueUrls = [] } of paginateListQueues({ client: sqs }, wanted)) left.push(...QueueUrls);
  let removed = 0;
  for (let living = 0; living < LIVING_MAX && !signal?.aborted; ) {
    const [queueUrl] = left.splice(Math.floor(random() * left.length), 1);
    if (queueUrl === undefined) break;
    if (await isRemoved(queueUrl, options, now)) removed += 1;
    else living += 1;
  }
  return removed;
}

async function isRemoved(
  QueueUrl: string,
  { sqs, sns, agentId }: QueueSweepOptions,
  now: Date,
): Promise<boolean> {
  const { NotFoundException, UnsubscribeCommand } = await import('@aws-sdk/client-sns');
  // Gone since it was listed, as a rule.
  const { Tags = {} } = await sqs.send(new ListQueueTagsCommand({ QueueUrl })).catch(() => ({ Tags: {} }));
  const tags = new Map(Object.entries(Tags));
  const seen = Date.parse(tags.get('keyturn:seen') ?? '');
  if (tags.get('keyturn:agent') !== agentId || !(now.getTime() - seen > GONE_AFTER_MS)) return false;
  const SubscriptionArn = tags.get('keyturn:subscription');
  // The subscription first: without its queue nothing says any more that it is to go.
  if (SubscriptionArn)
    await sns.send(new UnsubscribeCommand({ SubscriptionArn })).catch(unlessGone(NotFoundException));
  await sqs.send(new DeleteQueueCommand({ QueueUrl })).catch(() => undefined);
  return true;
}
