import { createServer } from 'node:http';
import { GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { DescribeRuleCommand, ListRulesCommand, ListTargetsByRuleCommand } from '@aws-sdk/client-eventbridge';
import { DescribeKeyCommand } from '@aws-sdk/client-kms';
import {
  GetFunctionConcurrencyCommand,
  GetFunctionConfigurationCommand,
  GetPolicyCommand,
} from '@aws-sdk/client-lambda';
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { ListSubscriptionsByTopicCommand } from '@aws-sdk/client-sns';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { mockClient } from 'aws-sdk-client-mock';
import { afterEach, expect, it } from 'vitest';
import { type Check, verdictsOf } from '../../../cli/doctor/check.ts';
import { alertsReachSomebody, nothingIsDead, rulesAreOn } from '../../../cli/doctor/deliveries.ts';
import { functionErrors, functionsMayRun, rotationPermission } from '../../../cli/doctor/functions.ts';
import { keyIsUsable, vaultIsEnough } from '../../../cli/doctor/surroundings.ts';
import { doctorParts } from './doctor-parts.ts';

const parts = doctorParts([
  { logicalId: 'DeadLetters', physicalId: 'https://queue', type: 'AWS::SQS::Queue' },
  { logicalId: 'Announce', physicalId: 'keyturn-dev-announce', type: 'AWS::Lambda::Function' },
  { logicalId: 'AnnounceRotationRule', physicalId: 'announce', type: 'AWS::Events::Rule' },
  { logicalId: 'RecordAdoptionRule', physicalId: 'keyturn-dev|adoption', type: 'AWS::Events::Rule' },
]);
const [cloudWatch, events, kms, lambda, secretsManager, sns, sqs] = [
  mockClient(parts.cloudWatch),
  mockClient(parts.eventBridge),
  mockClient(parts.kms),
  mockClient(parts.lambda),
  mockClient(parts.secretsManager),
  mockClient(parts.sns),
  mockClient(parts.sqs),
];
afterEach(() => {
  for (const client of [cloudWatch, events, kms, lambda, secretsManager, sns, sqs]) client.reset();
});

const found = async (check: Check) =>
  (await verdictsOf(check, parts)).map(({ state, what }) => `${state}: ${what}`);

it('tells that nobody would be alerted, until a subscriber has confirmed', async () => {
  const subscribed = (SubscriptionArn: string) =>
    sns.on(ListSubscriptionsByTopicCommand).resolves({ Subscriptions: [{ SubscriptionArn }] });
  sns.on(ListSubscriptionsByTopicCommand).resolves({});
  expect(await found(alertsReachSomebody)).toEqual([
    'wrong: nobody has subscribed to the alert topic: nobody is alerted',
  ]);
  subscribed('PendingConfirmation');
  expect(await found(alertsReachSomebody)).toEqual([
    'wrong: no subscriber of the alert topic has confirmed: nobody is alerted',
  ]);
  subscribed('arn:aws:sns:eu-central-1:123456789012:alerts:1');
  expect(await found(alertsReachSomebody)).toEqual(['well: 1 confirmed subscriber(s) of the alert topic']);
});

it('finds a rule that was turned off, on whichever bus it is', async () => {
  events.on(ListRulesCommand, { EventBusName: 'default' }).resolves({ Rules: [{ Name: 'announce' }] });
  events.on(ListRulesCommand).resolves({ Rules: [{ Name: 'adoption' }] });
  events.on(ListRulesCommand, { EventBusName: 'default' }).resolves({ Rules: [{ Name: 'announce' }] });
  events.on(ListTargetsByRuleCommand).resolves({ Targets: [{ Id: 'one', Arn: 'arn' }] });
  events.on(DescribeRuleCommand).resolves({ State: 'ENABLED' });
  events.on(DescribeRuleCommand, { Name: 'adoption' }).resolves({ State: 'DISABLED' });
  expect(await found(rulesAreOn)).toEqual(['wrong: the rule RecordAdoptionRule is off']);
});

it('counts dead letters', async () => {
  sqs.on(GetQueueAttributesCommand).resolves({ Attributes: { ApproximateNumberOfMessages: '2' } });
  expect(await found(nothingIsDead)).toEqual(['wrong: deliveries given up: 2 (DeadLetters)']);
});

it('finds a function that was stopped by its reserved concurrency, and says what lets it run', async () => {
  lambda.on(GetFunctionConcurrencyCommand).resolves({});
  expect(await found(functionsMayRun)).toEqual(['well: no function is stopped by its reserved concurrency']);
  lambda.on(GetFunctionConcurrencyCommand).resolves({ ReservedConcurrentExecutions: 0 });
  expect(await verdictsOf(functionsMayRun, parts)).toMatchObject([
    {
      state: 'wrong',
      what: 'announce may not run: its reserved concurrency is 0',
      remedy: 'aws lambda delete-function-concurrency --function-name keyturn-dev-announce',
    },
  ]);
});

it('counts what failed and what was throttled in the last hour', async () => {
  cloudWatch.on(GetMetricDataCommand).resolves({ MetricDataResults: [{ Id: 'f0', Values: [0] }] });
  expect(await found(functionErrors)).toEqual(['well: no function failed or was throttled in the last hour']);
  cloudWatch.on(GetMetricDataCommand).resolves({
    MetricDataResults: [
      { Id: 'f0', Values: [2, 1] },
      { Id: 'f1', Values: [4] },
    ],
  });
  expect(await found(functionErrors)).toEqual([
    'wrong: announce failed 3 times in the last hour',
    'wrong: announce was throttled 4 times in the last hour',
  ]);
});

it('finds that Secrets Manager may not invoke rotate-secret', async () => {
  const missing = Object.assign(new Error('no policy'), { name: 'ResourceNotFoundException' });
  lambda.on(GetPolicyCommand).rejects(missing);
  expect(await found(rotationPermission)).toEqual([
    'wrong: Secrets Manager may not invoke rotate-secret: no secret rotates',
  ]);
  const Statement = [
    {
      Effect: 'Allow',
      Principal: { Service: 'secretsmanager.amazonaws.com' },
      Action: 'lambda:InvokeFunction',
    },
  ];
  lambda.on(GetPolicyCommand).resolves({ Policy: JSON.stringify({ Statement }) });
  expect(await found(rotationPermission)).toEqual(['well: Secrets Manager may invoke rotate-secret']);
});

it('finds a key that is to be deleted', async () => {
  kms.on(DescribeKeyCommand).resolves({ KeyMetadata: { KeyId: 'one', KeyState: 'PendingDeletion' } });
  expect(await found(keyIsUsable)).toEqual(['wrong: the key is PendingDeletion: no secret can be read']);
});

it('goes on where it may not look, and says what it was not allowed', async () => {
  const refused = Object.assign(new Error('User: u is not authorized to perform: kms:DescribeKey on x'), {
    name: 'AccessDeniedException',
    $metadata: {},
  });
  kms.on(DescribeKeyCommand).rejects(refused);
  expect(await found(keyIsUsable)).toEqual([
    'unknown: AWS refused kms:DescribeKey: these credentials may not do that',
  ]);
});

it('can not tell of the login to Vault where the operator may not read it, which the functions may', async () => {
  const server = createServer((_, response) => response.writeHead(200).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  const Variables = {
    VAULT_ADDR: `http://127.0.0.1:${address.port}`,
    VAULT_LOGIN_SECRET: 'keyturn/vault/approle',
  };
  lambda.on(GetFunctionConfigurationCommand).resolves({ Environment: { Variables } });
  const refused = Object.assign(new Error('no'), { name: 'AccessDeniedException', $metadata: {} });
  secretsManager.on(GetSecretValueCommand).rejects(refused);
  try {
    expect(await found(vaultIsEnough)).toEqual([
      "unknown: the login of the mirrors can't be tried from here: AWS refused secretsmanager:GetSecretValue: these credentials may not do that",
    ]);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
