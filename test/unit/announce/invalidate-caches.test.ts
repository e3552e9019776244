import { ListSecretVersionIdsCommand } from '@aws-sdk/client-secrets-manager';
import { PublishCommand, SNSClient } from '@aws-sdk/client-sns';
import { mockClient } from 'aws-sdk-client-mock';
import 'aws-sdk-client-mock-vitest/extend';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { invalidateCaches } from '../../../functions/invalidate-caches/invalidate-caches.ts';
import * as given from './setting.ts';

const { arn, current, givenSecret, labelUpdated, previous, secretsManager } = given;
const sns = mockClient(SNSClient);
afterAll(() => sns.restore());
let debugged: string[] = [];
const invalidate = (input: unknown) =>
  invalidateCaches(input, {
    secretsManager: given.client,
    sns: new SNSClient(),
    topicArn: 'arn:topic',
    count: () => undefined,
    log: { debug: (message) => debugged.push(message) },
  });
const messages = () =>
  sns.commandCalls(PublishCommand).map(({ args }) => JSON.parse(args[0].input.Message ?? '') as unknown);

beforeEach(() => {
  givenSecret();
  debugged = [];
  sns.reset();
  sns.on(PublishCommand).resolves({ MessageId: '1' });
});

test('tells the agent of the version, when it was made, when it moved and until when the old one works', async () => {
  await invalidate(labelUpdated(current));
  expect(sns).toHaveReceivedCommandWith(PublishCommand, {
    TopicArn: 'arn:topic',
    Message: JSON.stringify({
      schemaVersion: 1,
      secret: given.name,
      secretArn: arn,
      agentId: 'billing-7',
      versionId: current,
      versionCreatedAt: '2026-11-24T08:59:58.000Z',
      movedAt: '2026-11-24T09:00:00.000Z',
      graceEndsAt: '2026-11-24T10:00:00.000Z',
    }),
    MessageAttributes: { agentId: { DataType: 'String', StringValue: 'billing-7' } },
  });
});

test('a delivery repeated says the same again', async () => {
  await invalidate(labelUpdated(current));
  await invalidate(labelUpdated(current));
  expect(messages()).toHaveLength(2);
  expect(messages()[1]).toEqual(messages()[0]);
});

test('after a rollback nothing is known of how long the other version works, so no grace is promised', async () => {
  givenSecret({ stages: { [current]: ['AWSPREVIOUS'], [previous]: ['AWSCURRENT'] } });
  await invalidate(labelUpdated(previous));
  expect(messages()).toEqual([expect.not.objectContaining({ graceEndsAt: expect.anything() })]);
});

test('a grace that cannot be read does not keep the agent uninformed', async () => {
  givenSecret({ tags: { 'keyturn:grace': 'soon' } });
  await invalidate(labelUpdated(current));
  expect(messages()).toEqual([expect.objectContaining({ versionId: current })]);
});

test('leaves alone, quietly, a secret that is not the platform’s', async () => {
  givenSecret({ tags: { managed_by: 'someone-else' } });
  await invalidate(labelUpdated(current));
  expect(sns.calls()).toEqual([]);
  expect(secretsManager).not.toHaveReceivedCommand(ListSecretVersionIdsCommand);
  expect(debugged).toEqual(['Nothing to invalidate']);
});

test('a secret of the platform without an agent is an error that names the tag', async () => {
  givenSecret({ tags: { agent_id: undefined } });
  await expect(invalidate(labelUpdated(current))).rejects.toMatchObject({
    name: 'SecretTagError',
    tag: 'agent_id',
  });
  expect(sns.calls()).toEqual([]);
});

test('a late event of a superseded version tells nobody', async () => {
  await invalidate(labelUpdated(previous));
  expect(sns.calls()).toEqual([]);
});

test('an event of a version that Secrets Manager does not know tells nobody, and fails', async () => {
  await expect(invalidate(labelUpdated(given.unknown))).rejects.toMatchObject({ name: 'LabelNotSeenError' });
  expect(sns.calls()).toEqual([]);
});

test.each(given.wrongShapes)('an event with %s fails before any call', async (_, input, said) => {
  await expect(invalidate(input)).rejects.toThrow(said);
  expect(secretsManager.calls()).toEqual([]);
  expect(sns.calls()).toEqual([]);
});
