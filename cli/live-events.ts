import { randomUUID } from 'node:crypto';
import {
  DeleteRuleCommand,
  type EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import * as z from 'zod';
import { contracts } from '../events/contracts.ts';
import { parsedJson } from '../shared/parsed-json.ts';

/** An event of ours, as its contract has it: identifiers and times only. */
export interface LiveEvent {
  readonly time: string;
  readonly type: string;
  readonly detail: Readonly<Record<string, string | number>>;
}

/** The events of the bus from now on. Disposing it takes away what it put into the account. */
export interface LiveEvents extends AsyncDisposable {
  /** What has come, or comes within `waitSeconds` (20 at most), by time. `unknown`: events that no contract of ours describes. */
  receive(
    waitSeconds: number,
    signal?: AbortSignal,
  ): Promise<{ events: readonly LiveEvent[]; unknown: number }>;
}

const prefix = 'keyturn-tail';

/**
 * Watches a bus by a queue and a rule of its own, for as long as somebody looks. Both bear a random name, so that watches don't
 * hinder each other. Whatever fails on the way, what was made is taken away; only a process that is killed leaves them, and
 * the queue then keeps nothing for longer than five minutes.
 *
 * @param detail fields that an event must have, with the values of which it must have one.
 */
export async function watchBus(
  { eventBridge, sqs }: { readonly eventBridge: EventBridgeClient; readonly sqs: SQSClient },
  busName: string,
  detail: Readonly<Record<string, readonly string[]>> = {},
): Promise<LiveEvents> {
  await using made = new AsyncDisposableStack();
  const name = `${prefix}-${randomUUID()}`;
  const Attributes = { MessageRetentionPeriod: '300', Policy: onlyFrom(busName, name) };
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes }));
  made.defer(async () => void (await sqs.send(new DeleteQueueCommand({ QueueUrl }))));
  const { Attributes: { QueueArn: Arn } = {} } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }),
  );
  const rule = { EventBusName: busName, Name: name };
  await eventBridge.send(
    new PutRuleCommand({
      ...rule,
      Description: 'Temporary: somebody looks at the live events with the command keyturn',
      EventPattern: JSON.stringify({
        source: ['keyturn', { prefix: 'keyturn.agent.' }],
        ...(Object.keys(detail).length > 0 && { detail }),
      }),
    }),
  );
  made.defer(async () => void (await eventBridge.send(new DeleteRuleCommand(rule))));
  // Disposed of in reverse: a rule that has targets can't be deleted.
  const target = { EventBusName: busName, Rule: name };
  made.defer(
    async () => void (await eventBridge.send(new RemoveTargetsCommand({ ...target, Ids: ['queue'] }))),
  );
  await eventBridge.send(new PutTargetsCommand({ ...target, Targets: [{ Id: 'queue', Arn }] }));
  const all = made.move();
  return {
    async receive(waitSeconds, signal) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: waitSeconds }),
        signal ? { abortSignal: signal } : {},
      );
      if (Messages.length > 0) {
        const Entries = Messages.map(({ ReceiptHandle }, at) => ({ Id: String(at), ReceiptHandle }));
        await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
      }
      const read = Messages.map(({ Body }) => liveEvent(Body ?? ''));
      const events = read.flatMap((event) => event ?? []).sort((a, b) => (a.time < b.time ? -1 : 1));
      return { events, unknown: read.length - events.length };
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** The queue has it from its first moment: a policy that is set later may take a minute to count. The rule's name is a random one. */
const onlyFrom = (busName: string, rule: string): string =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Service: 'events.amazonaws.com' },
        Action: 'sqs:SendMessage',
        Resource: '*',
        Condition: { ArnLike: { 'aws:SourceArn': `arn:*:events:*:*:rule/${busName}/${rule}` } },
      },
    ],
  });

const event = z.object({
  time: z.string(),
  'detail-type': z.string(),
  detail: z.record(z.string(), z.union([z.string(), z.number()])),
});

/**
 * Reads what lay in the queue. Only an event that is as its contract says: whoever may put events on the bus could put
 * anything there, and what the contracts let through holds no value.
 */
export function liveEvent(body: string): LiveEvent | undefined {
  const input = parsedJson(body);
  const isOurs = Object.values(contracts).some((schema) => schema.safeParse(input).success);
  const { data } = event.safeParse(input);
  return isOurs && data ? { time: data.time, type: data['detail-type'], detail: data.detail } : undefined;
}
