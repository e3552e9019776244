import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DescribeSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { DynamoDBDocumentClient, GetCommand } from '@aws-sdk/lib-dynamodb';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { LiveEvent } from '../../../cli/live-events.ts';
import { follow } from '../../../cli/rotation/follow.ts';

const secretsManager = mockClient(SecretsManagerClient);
const dynamo = mockClient(DynamoDBDocumentClient);
afterAll(() => {
  secretsManager.restore();
  dynamo.restore();
});
const rotationId = '6f1b8a52-3c7e-4d0a-9a51-2f0c5c1e7b11';
const failed: LiveEvent = {
  time: '2026-11-24T08:00:00Z',
  type: 'Rotation Failed',
  detail: { rotationId, step: 'setSecret', errorClass: 'AdminPrivilegeError' },
};
beforeEach(() => {
  secretsManager.reset();
  dynamo.reset();
  secretsManager.on(DescribeSecretCommand).resolves({ ARN: 'arn', VersionIdsToStages: {} });
  dynamo.on(GetCommand).resolves({ Item: { state: { failure: { rotationId } } } });
});

/** Follows a rotation whose live events are these, a round each, and none after them. */
const followed = (rounds: (readonly LiveEvent[])[]) =>
  follow(
    { secretArn: 'arn', rotationId },
    {
      secretsManager: new SecretsManagerClient({ region: 'eu-central-1' }),
      live: { receive: async () => ({ events: rounds.shift() ?? [], unknown: 0 }) },
      state: { dynamo: new DynamoDBClient({ region: 'eu-central-1' }), table: 'state' },
      timeoutMs: 60_000,
      stop: new AbortController().signal,
      say: () => undefined,
    },
  );

test('a failure whose event came before the rule saw events is told from the state table', async () => {
  expect(await followed([])).toEqual({ outcome: 'failed' });
});

test('the event of a failure, which names its step, is given some seconds to come', async () => {
  expect(await followed([[], [], [failed]])).toEqual({
    outcome: 'failed',
    step: 'setSecret',
    errorClass: 'AdminPrivilegeError',
  });
});

test('whoever may not read the state table hears of a failure by its event', async () => {
  dynamo.on(GetCommand).rejects(new Error('AccessDeniedException'));
  expect(await followed([[], [failed]])).toMatchObject({ outcome: 'failed', step: 'setSecret' });
});
