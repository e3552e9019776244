import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { ConflictException, CreateScheduleCommand, SchedulerClient } from '@aws-sdk/client-scheduler';
import { mockClient } from 'aws-sdk-client-mock';
import 'aws-sdk-client-mock-vitest/extend';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { announceRotation } from '../../../functions/announce-rotation/announce-rotation.ts';
import { eventBus } from '../../../shared/notification/event-bus.ts';
import * as given from './setting.ts';

const { arn, current, givenSecret, labelUpdated, previous, secretsManager } = given;
const scheduler = mockClient(SchedulerClient);
const bus = mockClient(EventBridgeClient);
afterAll(() => {
  scheduler.restore();
  bus.restore();
});
const announce = (input: unknown, now = '2026-11-24T09:00:01Z') =>
  announceRotation(input, {
    secretsManager: given.client,
    scheduler: new SchedulerClient(),
    bus: eventBus(new EventBridgeClient(), 'keyturn-test'),
    schedule: { groupName: 'grace', targetArn: 'arn:revoke', roleArn: 'arn:role', deadLetterArn: 'arn:dead' },
    log: given.log,
    now: () => new Date(now),
  });
const published = () =>
  bus.commandCalls(PutEventsCommand).flatMap(({ args }) =>
    (args[0].input.Entries ?? []).map(({ EventBusName, Source, DetailType, Detail }) => ({
      EventBusName,
      Source,
      DetailType,
      detail: JSON.parse(Detail ?? '') as unknown,
    })),
  );
const scheduled = () => scheduler.commandCalls(CreateScheduleCommand).map(({ args }) => args[0].input);
const ofSecret = { schemaVersion: 1, secret: given.name, secretArn: arn, agentId: 'billing-7' };

beforeEach(() => {
  givenSecret();
  scheduler.reset();
  scheduler.on(CreateScheduleCommand).resolves({ ScheduleArn: 'arn:schedule' });
  bus.reset();
  bus.on(PutEventsCommand).resolves({ FailedEntryCount: 0, Entries: [{ EventId: '1' }] });
});

test('a rotation schedules the end of the grace period, and says so on the bus', async () => {
  givenSecret({ tags: { 'keyturn:grace': '15m' } });
  await announce(labelUpdated(current));
  expect(scheduler).toHaveReceivedCommandTimes(CreateScheduleCommand, 1);
  expect(scheduled()[0]).toMatchObject({
    GroupName: 'grace',
    ScheduleExpression: 'at(2026-11-24T09:15:00)',
    ScheduleExpressionTimezone: 'UTC',
    FlexibleTimeWindow: { Mode: 'OFF' },
    ActionAfterCompletion: 'DELETE',
    Target: {
      Arn: 'arn:revoke',
      RoleArn: 'arn:role',
      DeadLetterConfig: { Arn: 'arn:dead' },
      RetryPolicy: { MaximumEventAgeInSeconds: 86_400, MaximumRetryAttempts: 185 },
      Input: JSON.stringify({
        secretArn: arn,
        supersededVersionId: previous,
        currentVersionId: current,
        rotationId: current,
        graceEndsAt: '2026-11-24T09:15:00.000Z',
      }),
    },
  });
  expect(published()).toEqual([
    {
      EventBusName: 'keyturn-test',
      Source: 'keyturn',
      DetailType: 'Secret Rotated',
      detail: {
        ...ofSecret,
        rotationId: current,
        currentVersionId: current,
        supersededVersionId: previous,
        rotatedAt: '2026-11-24T09:00:00.000Z',
        graceEndsAt: '2026-11-24T09:15:00.000Z',
      },
    },
  ]);
});

test('a delivery repeated makes no second schedule, and still announces', async () => {
  await announce(labelUpdated(current));
  const conflict = new ConflictException({ message: 'exists', Message: 'exists', $metadata: {} });
  scheduler.on(CreateScheduleCommand).rejects(conflict);
  await announce(labelUpdated(current), '2026-11-24T09:20:00Z');
  expect(scheduled().map(({ Name }) => Name)).toEqual([scheduled()[0]?.Name, scheduled()[0]?.Name]);
  expect(published()).toHaveLength(2);
  expect(published()[1]).toEqual(published()[0]);
});

test('where the schedule cannot be made, nothing is announced', async () => {
  scheduler
    .on(CreateScheduleCommand)
    .rejects(Object.assign(new Error('hunter2'), { name: 'ThrottlingException' }));
  await expect(announce(labelUpdated(current))).rejects.toMatchObject({
    name: 'AwsCallError',
    message: 'scheduler:CreateSchedule: ThrottlingException',
  });
  expect(bus).not.toHaveReceivedCommand(PutEventsCommand);
});

test('a grace period that is over already is scheduled just ahead, and keeps its own end in what it hands on', async () => {
  await announce(labelUpdated(current), '2026-11-24T12:00:00.500Z');
  expect(scheduled()[0]?.ScheduleExpression).toBe('at(2026-11-24T12:00:06)');
  expect(scheduled()[0]?.Target?.Input).toContain('"graceEndsAt":"2026-11-24T10:00:00.000Z"');
});

test('a change by hand is announced as one, and schedules nothing', async () => {
  givenSecret({ stages: { [current]: ['AWSPREVIOUS'], [previous]: ['AWSCURRENT'] } });
  await announce(labelUpdated(previous));
  expect(scheduler).not.toHaveReceivedCommand(CreateScheduleCommand);
  expect(published()).toMatchObject([
    {
      DetailType: 'Secret Changed',
      detail: { ...ofSecret, currentVersionId: previous, supersededVersionId: current },
    },
  ]);
});

test("a secret's first version supersedes none, so there is nothing to schedule", async () => {
  givenSecret({ stages: { [current]: ['AWSCURRENT', 'AWSPENDING'] } });
  await announce(labelUpdated(current));
  expect(scheduler).not.toHaveReceivedCommand(CreateScheduleCommand);
  expect(published()).toMatchObject([{ DetailType: 'Secret Rotated' }]);
});

test.each([
  ['a version superseded since', labelUpdated(previous)],
  ['a version without labels', labelUpdated(given.oldest)],
  ['another label', labelUpdated(current, 'BLUE')],
])('an event of %s does nothing', async (_, event) => {
  await announce(event);
  expect(scheduler.calls()).toEqual([]);
  expect(bus.calls()).toEqual([]);
});

test.each([
  ['that Secrets Manager does not know', given.unknown],
  ['that is only pending', given.pending],
])(
  'an event of a version %s does nothing and fails, for the read may lag behind it',
  async (_, versionId) => {
    givenSecret({ stages: { [current]: ['AWSCURRENT'], [given.pending]: ['AWSPENDING'] } });
    await expect(announce(labelUpdated(versionId))).rejects.toMatchObject({ name: 'LabelNotSeenError' });
    expect(scheduler.calls()).toEqual([]);
    expect(bus.calls()).toEqual([]);
  },
);

test('a secret that is not the platform’s is left alone', async () => {
  givenSecret({ tags: { managed_by: undefined, agent_id: undefined } });
  await announce(labelUpdated(current));
  expect(secretsManager.calls()).toHaveLength(1);
  expect(scheduler.calls()).toEqual([]);
  expect(bus.calls()).toEqual([]);
});

test('a grace that cannot be read fails, naming the tag and not what it holds', async () => {
  givenSecret({ tags: { 'keyturn:grace': 'hunter2' } });
  await expect(announce(labelUpdated(current))).rejects.toMatchObject({
    name: 'SecretTagError',
    tag: 'keyturn:grace',
    message: expect.not.stringContaining('hunter2'),
  });
  expect(scheduler.calls()).toEqual([]);
  expect(bus.calls()).toEqual([]);
});

test.each(given.wrongShapes)(
  'an event with %s fails before any call, and says what is wrong',
  async (_, input, said) => {
    const failure = announce(input);
    await expect(failure).rejects.toMatchObject({
      name: 'UnexpectedShapeError',
      message: expect.stringContaining(said),
    });
    await expect(failure).rejects.toMatchObject({ message: expect.not.stringContaining('hunter2') });
    expect(secretsManager.calls()).toEqual([]);
  },
);

test('an event that the bus refuses is an error that names the code alone', async () => {
  bus.on(PutEventsCommand).resolves({
    FailedEntryCount: 1,
    Entries: [{ ErrorCode: 'ThrottlingException', ErrorMessage: 'hunter2' }],
  });
  await expect(announce(labelUpdated(current))).rejects.toMatchObject({
    name: 'EventsRefusedError',
    codes: ['ThrottlingException'],
    message: '1 of 1 events were refused: ThrottlingException',
  });
});

test('more events than a call takes go out in several', async () => {
  const events = Array.from({ length: 11 }, (_, n) => ({
    source: 'keyturn',
    detailType: 'T',
    detail: { n },
  }));
  await eventBus(new EventBridgeClient(), 'keyturn-test').publish(events);
  expect(bus).toHaveReceivedCommandTimes(PutEventsCommand, 2);
  expect(published().map(({ detail }) => detail)).toEqual(events.map(({ detail }) => detail));
});
