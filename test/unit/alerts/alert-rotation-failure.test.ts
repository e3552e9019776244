import {
  DescribeSecretCommand,
  ResourceNotFoundException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { PublishCommand, SNSClient } from '@aws-sdk/client-sns';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, expect, test } from 'vitest';
import awsSample from '../../../events/aws-rotation-failed/sample.json' with { type: 'json' };
import failedSample from '../../../events/rotation-failed/sample.json' with { type: 'json' };
import rotatedSample from '../../../events/secret-rotated/sample.json' with { type: 'json' };
import { alertRotationFailure } from '../../../functions/alert-rotation-failure/alert-rotation-failure.ts';
import type { Rotations } from '../../../functions/alert-rotation-failure/episode.ts';
import type { PendingAlert } from '../../../functions/alert-rotation-failure/rotation-state.ts';
import { alertsTo } from '../../../shared/notification/alert.ts';
import { recordsInMemory } from '../state/in-memory.ts';

const sns = mockClient(SNSClient);
const secretsManager = mockClient(SecretsManagerClient);
afterAll(() => {
  sns.restore();
  secretsManager.restore();
});
let records = recordsInMemory<Rotations, PendingAlert>();
let now = 0;
const topicArn = 'arn:aws:sns:eu-central-1:123456789012:keyturn-prod-alerts';
const hear = (event: unknown) =>
  alertRotationFailure(event, {
    secretsManager: new SecretsManagerClient({ region: 'eu-central-1' }),
    records,
    send: alertsTo(new SNSClient(), { topicArn, stage: 'prod' }),
    runbookUrl: 'https://runbook',
    now: () => new Date(now),
  });
const failed = { ...failedSample, detail: { ...failedSample.detail, failedAt: '2026-11-24T08:00:00Z' } };
const rotated = rotatedSample;
const published = () => sns.commandCalls(PublishCommand).map(({ args }) => args[0].input);
const messages = () => published().map(({ Message }) => JSON.parse(Message ?? '') as unknown);

beforeEach(() => {
  records = recordsInMemory();
  now = 0;
  sns.reset();
  sns.on(PublishCommand).resolves({});
  secretsManager.reset();
  secretsManager.on(DescribeSecretCommand).resolves({
    ARN: failed.detail.secretArn,
    Name: failed.detail.secret,
    Tags: [
      { Key: 'agent_id', Value: failed.detail.agentId },
      { Key: 'managed_by', Value: 'agent-platform' },
    ],
  });
});

test('one alert when rotations begin to fail and one when one succeeds, whatever is repeated', async () => {
  await Promise.all([hear(failed), hear(failed)]);
  await hear(failed);
  await Promise.all([hear(rotated), hear(rotated)]);
  await hear(rotated);
  expect(messages()).toEqual([
    {
      stage: 'prod',
      account: '123456789012',
      region: 'eu-central-1',
      what: 'rotation of agents/billing-7/credentials failed',
      backend: 'rotation:agents/billing-7/credentials',
      state: 'failed',
      urgency: 'ticket',
      since: '2026-11-24T08:00:00Z',
      at: '2026-11-24T08:00:00Z',
      affects: expect.stringContaining('agent billing-7 keeps working with its current credential'),
      step: 'testSecret',
      errorClass: 'CredentialRefusedError',
      runbook: 'https://runbook/rotation-failed.md#credentialrefusederror',
    },
    {
      stage: 'prod',
      account: '123456789012',
      region: 'eu-central-1',
      what: 'rotation of agents/billing-7/credentials works again',
      backend: 'rotation:agents/billing-7/credentials',
      state: 'recovered',
      urgency: 'none',
      since: '2026-11-24T08:00:00Z',
      at: '2026-11-24T09:00:00Z',
      affects: 'nothing any more: agent billing-7 gets the new credential',
      runbook: 'https://runbook/rotation-failed.md',
    },
  ]);
  expect(published()[0]).toMatchObject({
    TopicArn: topicArn,
    Subject: 'Keyturn prod: rotation of agents/billing-7/credentials failed',
    MessageAttributes: { state: { StringValue: 'failed' }, urgency: { StringValue: 'ticket' } },
  });
});

test('a failure that is heard of after the rotation that made up for it wakes nobody', async () => {
  await hear(rotated);
  await hear(failed);
  expect(messages()).toEqual([]);
});

test('what SNS did not take is sent by the repeat of the delivery', async () => {
  sns
    .on(PublishCommand)
    .rejectsOnce(Object.assign(new Error('hunter2'), { name: 'ThrottledException' }))
    .resolves({});
  await expect(hear(failed)).rejects.toThrow(/^sns:Publish: ThrottledException$/);
  now += 60_000;
  await hear(failed);
  await hear(failed);
  expect(messages().slice(1)).toEqual([expect.objectContaining({ state: 'failed' })]);
});

const message = {
  what: 'Prüfung',
  backend: 'target Prüfung',
  state: 'unhealthy',
  since: '',
  at: '',
  affects: '',
  urgency: 'page',
  runbook: '',
} as const;

test('a subject is what SNS takes, whatever a backend is called', async () => {
  const what = `Prüfung\n${'x'.repeat(200)}`;
  await alertsTo(new SNSClient(), { topicArn, stage: 'prüf' })(
    { ...message, what },
    new AbortController().signal,
  );
  expect(published()[0]?.Subject).toMatch(/^Keyturn pr\?f: Pr\?fung\?x{1,99}$/);
  expect(published()[0]?.Subject).toHaveLength(99);
});

test('a call of SNS ends when another run may send the alert', async () => {
  const { signal: abortSignal } = new AbortController();
  await alertsTo(new SNSClient(), { topicArn, stage: 'prod' })(message, abortSignal);
  expect(sns.commandCalls(PublishCommand)[0]?.args).toMatchObject([{}, { abortSignal }]);
});

test.each([
  ['nothing at all', undefined, 'the whole'],
  ['an event of another kind', { ...failed, 'detail-type': 'Rotation Started' }, 'detail-type'],
  ['another source', { ...failed, source: 'hunter2' }, 'source: expected keyturn'],
  [
    'a detail with more in it',
    { ...failed, detail: { ...failed.detail, password: 'hunter2' } },
    'detail: 1 unknown field(s)',
  ],
  [
    'an error class that is a sentence',
    { ...failed, detail: { ...failed.detail, errorClass: 'password hunter2 refused' } },
    'detail.errorClass: expected the class of an error',
  ],
])('%s fails, says what is wrong and changes nothing', async (_, event, said) => {
  const failure = hear(event);
  await expect(failure).rejects.toMatchObject({
    name: 'UnexpectedShapeError',
    message: expect.stringContaining(said),
  });
  await expect(failure).rejects.toMatchObject({ message: expect.not.stringContaining('hunter2') });
  expect(sns.calls()).toEqual([]);
  expect(await records.read(failed.detail.secretArn)).toBeUndefined();
});

test("AWS's own report of a failure is of the same episode as Keyturn's, whichever comes first", async () => {
  await hear(failed);
  await hear(awsSample);
  expect(messages()).toMatchObject([{ state: 'failed', errorClass: 'CredentialRefusedError' }]);
  records = recordsInMemory();
  sns.resetHistory();
  await hear(awsSample);
  await hear(failed);
  expect(messages()).toMatchObject([
    {
      state: 'failed',
      step: 'testSecret',
      errorClass: 'RotationFailed',
      backend: 'rotation:agents/billing-7/credentials',
      runbook: 'https://runbook/rotation-failed.md#rotationfailed',
    },
  ]);
});

test('a report of AWS that comes after a rotation has succeeded tells nothing', async () => {
  await hear(failed);
  await hear(rotated);
  await hear(awsSample);
  expect(messages()).toHaveLength(2);
});

test("a report of AWS of a secret that isn't the platform's, or is gone, alerts nobody", async () => {
  secretsManager
    .on(DescribeSecretCommand)
    .resolves({ ARN: failed.detail.secretArn, Name: 'other', Tags: [] });
  await hear(awsSample);
  secretsManager
    .on(DescribeSecretCommand)
    .rejects(new ResourceNotFoundException({ message: 'gone', $metadata: {} }));
  await hear(awsSample);
  expect(messages()).toEqual([]);
});
