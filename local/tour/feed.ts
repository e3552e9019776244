import { PutRuleCommand, PutTargetsCommand } from '@aws-sdk/client-eventbridge';
import { SubscribeCommand } from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
} from '@aws-sdk/client-sqs';
import * as z from 'zod';
import type { Clients } from '../stack/clients.ts';
import type { Stack } from '../stack/start.ts';

const busEvent = z.object({
  'detail-type': z.string(),
  detail: z.looseObject({ secret: z.string() }),
});
const ownAlert = z.object({
  stage: z.string(),
  backend: z.string(),
  state: z.string(),
  runbook: z.string(),
});
/** An alarm of CloudWatch speaks for itself, on the same topic. */
const alarm = z
  .object({ AlarmName: z.string(), AlarmDescription: z.string(), NewStateValue: z.string() })
  .transform(({ AlarmName, AlarmDescription, NewStateValue }) => ({
    backend: `alarm ${AlarmName}`,
    state: NewStateValue,
    runbook: /\S+\.md/.exec(AlarmDescription)?.[0] ?? '',
  }));
const alert = z.union([ownAlert, alarm]);

export interface FeedEvent {
  readonly type: string;
  readonly detail: Readonly<Record<string, unknown>> & { readonly secret: string };
}
export type Alert = z.output<typeof alert>;

/** What the deployment says while it works: the events on the keyturn bus, and what on-call gets. */
export interface Feed extends AsyncDisposable {
  readonly events: readonly FeedEvent[];
  readonly alerts: readonly Alert[];
}

export async function openFeed(
  { outputs }: Stack,
  clients: Clients,
  heard: { event: (event: FeedEvent) => void; alert: (alert: Alert) => void },
): Promise<Feed> {
  const eventQueue = await queue(clients, 'tour-events');
  const alertQueue = await queue(clients, 'tour-alerts');
  const rule = { EventBusName: outputs.BusName, Rule: 'tour' };
  await clients.eventBridge.send(
    new PutRuleCommand({
      EventBusName: outputs.BusName,
      Name: 'tour',
      EventPattern: '{"source":["keyturn",{"prefix":"keyturn.agent."}]}',
    }),
  );
  await clients.eventBridge.send(
    new PutTargetsCommand({ ...rule, Targets: [{ Id: 'tour', Arn: eventQueue.arn }] }),
  );
  await clients.sns.send(
    new SubscribeCommand({
      TopicArn: outputs.AlertTopicArn,
      Protocol: 'sqs',
      Endpoint: alertQueue.arn,
      Attributes: { RawMessageDelivery: 'true' },
    }),
  );
  const closing = new AbortController();
  const events: FeedEvent[] = [];
  const alerts: Alert[] = [];
  const loops = [
    poll(clients, eventQueue.url, closing.signal, (body) => {
      const { 'detail-type': type, detail } = busEvent.parse(body);
      events.push({ type, detail });
      heard.event({ type, detail });
    }),
    poll(clients, alertQueue.url, closing.signal, (body) => {
      const said = alert.parse(body);
      alerts.push(said);
      heard.alert(said);
    }),
  ];
  return {
    events,
    alerts,
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.all(loops);
    },
  };
}

async function queue({ sqs }: Clients, name: string): Promise<{ url: string; arn: string }> {
  const { QueueUrl: url = '' } = await sqs.send(new CreateQueueCommand({ QueueName: name }));
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }),
  );
  return { url, arn: Attributes?.QueueArn ?? '' };
}

async function poll(
  { sqs }: Clients,
  url: string,
  abortSignal: AbortSignal,
  heard: (body: unknown) => void,
): Promise<void> {
  while (!abortSignal.aborted) {
    try {
      const receive = new ReceiveMessageCommand({
        QueueUrl: url,
        WaitTimeSeconds: 5,
        MaxNumberOfMessages: 10,
      });
      const { Messages = [] } = await sqs.send(receive, { abortSignal });
      for (const { Body = 'null' } of Messages) heard(JSON.parse(Body));
      if (Messages.length === 0) continue;
      const Entries = Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
      await sqs.send(new DeleteMessageBatchCommand({ QueueUrl: url, Entries }));
    } catch (error) {
      if (!abortSignal.aborted) throw error;
    }
  }
}
