import { paginateDescribeAlarms } from '@aws-sdk/client-cloudwatch';
import {
  DescribeRuleCommand,
  type EventBridgeClient,
  ListRulesCommand,
  ListTargetsByRuleCommand,
  type Rule,
} from '@aws-sdk/client-eventbridge';
import { GetScheduleGroupCommand } from '@aws-sdk/client-scheduler';
import { paginateListSubscriptionsByTopic } from '@aws-sdk/client-sns';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import pMap from 'p-map';
import { type Check, ofType, orWell, type Verdict, well, wrong } from './check.ts';

export const alertsReachSomebody: Check = {
  name: 'alerts',
  async run({ sns, output }) {
    const TopicArn = output('AlertTopicArn');
    let confirmed = 0;
    let waiting = 0;
    for await (const { Subscriptions = [] } of paginateListSubscriptionsByTopic(
      { client: sns },
      { TopicArn },
    )) {
      for (const { SubscriptionArn = '' } of Subscriptions) {
        if (SubscriptionArn.startsWith('arn:')) confirmed += 1;
        else if (SubscriptionArn === 'PendingConfirmation') waiting += 1;
      }
    }
    if (confirmed > 0) return [well(`${confirmed} confirmed subscriber(s) of the alert topic`)];
    return waiting > 0
      ? [
          wrong(
            'no subscriber of the alert topic has confirmed: nobody is alerted',
            'confirm by the link in the e-mail that SNS sent',
          ),
        ]
      : [
          wrong(
            'nobody has subscribed to the alert topic: nobody is alerted',
            `aws sns subscribe --topic-arn ${TopicArn} --protocol email --notification-endpoint ADDRESS`,
          ),
        ];
  },
};

export const rulesAreOn: Check = {
  name: 'rules',
  async run(parts) {
    const rules = ofType(parts, 'AWS::Events::Rule');
    const busOf = new Map<string, string>();
    for (const EventBusName of ['default', parts.output('BusName')]) {
      for await (const { Name = '' } of rulesOn(parts.eventBridge, EventBusName))
        busOf.set(Name, EventBusName);
    }
    const found = await pMap(
      rules,
      async ({ logicalId, physicalId }) => {
        // On another bus than the default one, CloudFormation's id of a rule is BUS|RULE.
        const Name = physicalId.split('|').at(-1) ?? '';
        const EventBusName = busOf.get(Name);
        if (EventBusName === undefined) return [wrong(`the rule ${logicalId} is gone`, 'deploy again')];
        const { State } = await parts.eventBridge.send(new DescribeRuleCommand({ Name, EventBusName }));
        const { Targets = [] } = await parts.eventBridge.send(
          new ListTargetsByRuleCommand({ Rule: Name, EventBusName }),
        );
        if (State !== 'ENABLED') {
          return [
            wrong(
              `the rule ${logicalId} is off`,
              `aws events enable-rule --name ${Name} --event-bus-name ${EventBusName}`,
            ),
          ];
        }
        return Targets.length > 0 ? [] : [wrong(`the rule ${logicalId} has no target`, 'deploy again')];
      },
      { concurrency: 4 },
    );
    return orWell(found.flat(), `${rules.length} rules are on and have targets`);
  },
};

export const schedulesAreHeld: Check = {
  name: 'grace schedules',
  async run({ scheduler, output }) {
    const name = output('GraceScheduleGroupName');
    const { State } = await scheduler.send(new GetScheduleGroupCommand({ Name: name }));
    return orWell(
      State === 'ACTIVE'
        ? []
        : [wrong(`the schedule group ${name} is ${State}: grace periods do not end`, 'deploy again')],
      `the schedule group ${name} is active`,
    );
  },
};

export const nothingIsDead: Check = {
  name: 'dead letters',
  async run(parts) {
    const queues = ofType(parts, 'AWS::SQS::Queue').filter(({ logicalId }) =>
      logicalId.endsWith('DeadLetters'),
    );
    const found = await Promise.all(
      queues.map(async ({ logicalId, physicalId }) => {
        const { Attributes } = await parts.sqs.send(
          new GetQueueAttributesCommand({
            QueueUrl: physicalId,
            AttributeNames: ['ApproximateNumberOfMessages'],
          }),
        );
        const count = Number(Attributes?.ApproximateNumberOfMessages ?? 0);
        const page = logicalId === 'MirrorDeadLetters' ? 'mirror-dead-letters' : 'dead-letters';
        return count === 0
          ? []
          : [wrong(`deliveries given up: ${count} (${logicalId})`, `docs/runbook/${page}.md`)];
      }),
    );
    return orWell(found.flat(), `${queues.length} queues of dead letters are empty`);
  },
};

export const noAlarmIsOn: Check = {
  name: 'alarms',
  async run(parts) {
    const AlarmNames = ofType(parts, 'AWS::CloudWatch::Alarm').map(({ physicalId }) => physicalId);
    const on: Omit<Verdict, 'check'>[] = [];
    for await (const { MetricAlarms = [] } of paginateDescribeAlarms(
      { client: parts.cloudWatch },
      { AlarmNames, StateValue: 'ALARM' },
    )) {
      for (const { AlarmName, AlarmDescription = '' } of MetricAlarms)
        on.push(wrong(`the alarm ${AlarmName} is on`, AlarmDescription));
    }
    return orWell(on, `none of ${AlarmNames.length} alarms is on`);
  },
};

/** The SDK has no paginator of its own for these. */
async function* rulesOn(client: EventBridgeClient, EventBusName: string): AsyncGenerator<Rule> {
  let NextToken: string | undefined;
  do {
    const page = await client.send(new ListRulesCommand({ EventBusName, NextToken }));
    yield* page.Rules ?? [];
    NextToken = page.NextToken;
  } while (NextToken !== undefined);
}
