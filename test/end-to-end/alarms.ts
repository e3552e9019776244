import {
  CloudWatchClient,
  DescribeAlarmsCommand,
  type MetricAlarm,
  SetAlarmStateCommand,
} from '@aws-sdk/client-cloudwatch';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import type { Clients } from '../../local/stack/clients.ts';
import { region, type Stack } from '../../local/stack/start.ts';
import type { Feed } from '../../local/tour/feed.ts';
import { until } from '../../local/until.ts';

/**
 * The alarms of a deployment. AWS measures the queues and the functions each minute, and compares; the local stack's CloudWatch
 * has no metrics of queues, counts throttled calls as invocations, and compares only when a metric is put by hand. So the
 * measure is taken here, of the very queue or function that the deployed alarm names, and compared as the alarm says; then
 * SetAlarmState, which is AWS's way to try an alarm, has the alarm act. From there on it is the deployment's own: its
 * actions, the topic, and who has subscribed.
 */
export function alarmsOf(stack: Stack, clients: Clients, feed: Feed) {
  const cloudWatch = new CloudWatchClient({
    endpoint: stack.endpoint,
    region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });

  async function deployed(name: string): Promise<MetricAlarm> {
    const { MetricAlarms = [] } = await cloudWatch.send(
      new DescribeAlarmsCommand({ AlarmNames: [`keyturn-local-${name}`] }),
    );
    const [alarm] = MetricAlarms;
    if (!alarm) throw new Error(`There is no alarm ${name}`);
    return alarm;
  }

  /** Puts the alarm into the state that its definition gives for a measure; gives that, and the page that its message names. */
  async function measured(name: string, alarm: MetricAlarm, value: number | undefined): Promise<string> {
    const state = isOn(alarm, value) ? 'ALARM' : 'OK';
    if (alarm.StateValue === state) return state;
    const before = feed.alerts.length;
    await cloudWatch.send(
      new SetAlarmStateCommand({
        AlarmName: alarm.AlarmName,
        StateValue: state,
        StateReason: `measured: ${value ?? 'nothing'}`,
      }),
    );
    const { runbook } = await until(`on-call is told that ${name} is ${state}`, async () =>
      feed.alerts
        .slice(before)
        .find((alert) => alert.backend === `alarm keyturn-local-${name}` && alert.state === state),
    );
    return `${state} ${runbook.replace(/^.*\/(.+)\.md$/, '$1')}`;
  }

  return {
    /** By how many messages are in the queue that the alarm watches. */
    async ofQueue(name: string): Promise<string> {
      const alarm = await deployed(name);
      const { Namespace, MetricName, Dimensions = [] } = alarm;
      const [queue] = Dimensions;
      if (
        `${Namespace}/${MetricName}/${queue?.Name}` !== 'AWS/SQS/ApproximateNumberOfMessagesVisible/QueueName'
      )
        throw new Error(`${name} watches no queue`);
      const { Attributes } = await clients.sqs.send(
        new GetQueueAttributesCommand({
          QueueUrl: `${stack.endpoint}/000000000000/${queue?.Value}`,
          AttributeNames: ['ApproximateNumberOfMessages'],
        }),
      );
      return measured(name, alarm, Number(Attributes?.ApproximateNumberOfMessages));
    },
    /** By how often the function was invoked: undefined is what AWS has of one that wasn't. */
    async ofInvocations(name: string, functionName: string, invoked: number | undefined): Promise<string> {
      const alarm = await deployed(name);
      const watched = [alarm.Namespace, alarm.MetricName, alarm.Dimensions?.[0]?.Value].join('/');
      if (watched !== `AWS/Lambda/Invocations/keyturn-local-${functionName}`)
        throw new Error(`${name} watches ${watched}`);
      return measured(name, alarm, invoked);
    },
  };
}

function isOn(
  { TreatMissingData, ComparisonOperator, Threshold = Number.NaN }: MetricAlarm,
  value?: number,
): boolean {
  if (value === undefined) return TreatMissingData === 'breaching';
  if (ComparisonOperator === 'GreaterThanThreshold') return value > Threshold;
  if (ComparisonOperator === 'LessThanThreshold') return value < Threshold;
  throw new Error(`${ComparisonOperator} is not known here`);
}
