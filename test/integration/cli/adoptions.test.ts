import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, ScanCommand } from '@aws-sdk/lib-dynamodb';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { secretAdopted } from '../../../events/secret-adopted/event.ts';
import sample from '../../../events/secret-adopted/sample.json' with { type: 'json' };
import { recordAdoption } from '../../../functions/record-adoption/record-adoption.ts';
import { adoptionsIn } from '../../../shared/state/adoptions.ts';
import { type Aws, startAws } from './aws.ts';

let aws: Aws;
let dynamo: DynamoDBClient;
beforeAll(async () => {
  aws = await startAws();
  dynamo = new DynamoDBClient(aws.sdk);
});
afterAll(() => aws[Symbol.asyncDispose]());

const versions = ['a', 'b', 'c'].map((letter) => letter.repeat(32));

/** What an instance said, `second` seconds into the minute, received by the bus at once. */
const said = (second: number, versionId: string, agentInstanceId: string) => {
  const time = `2026-11-24T09:00:${String(second).padStart(2, '0')}Z`;
  const detail = { ...sample.detail, agentInstanceId, versionId, adoptedAt: time };
  return secretAdopted.schema.parse({ ...sample, time, detail });
};

const dependencies = () => ({
  ...adoptionsIn(dynamo, aws.outputs.StateTableName ?? ''),
  ownArns: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:',
  log: { warn: () => expect.unreachable() },
  count: () => expect.unreachable(),
});

async function kept(instance: string) {
  const documents = DynamoDBDocumentClient.from(dynamo);
  const { Items = [] } = await documents.send(
    new ScanCommand({ TableName: aws.outputs.StateTableName, ConsistentRead: true }),
  );
  return Items.filter(({ agentInstanceId }) => agentInstanceId === instance);
}

it('keeps the last version of each instance, however its events are repeated and reordered', async () => {
  const adoptions = dependencies();
  let run = 0;
  const event = fc.record({ second: fc.integer({ min: 0, max: 3 }), version: fc.constantFrom(...versions) });
  const history = fc.array(event, { minLength: 1, maxLength: 5 });
  const order = fc.array(fc.nat(), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(history, order, async (events, repeats) => {
      run += 1;
      const [one, other] = [`one-${run}`, `other-${run}`];
      for (const { second, version } of events) await recordAdoption(said(second, version, one), adoptions);
      const shuffled = [...events].reverse();
      const again = repeats.flatMap((at) => shuffled[at % shuffled.length] ?? []);
      for (const { second, version } of [...shuffled, ...again])
        await recordAdoption(said(second, version, other), adoptions);
      const [first, second] = [await kept(one), await kept(other)];
      expect(first).toHaveLength(1);
      expect(second.map(({ versionId, adoptedAt }) => ({ versionId, adoptedAt }))).toEqual(
        first.map(({ versionId, adoptedAt }) => ({ versionId, adoptedAt })),
      );
    }),
    { numRuns: 25 },
  );
});

it('dates an instance whose clock is ahead by the bus, and forgets it after 100 days', async () => {
  const adoptions = dependencies();
  const [older = '', newer = ''] = versions;
  const ahead = said(10, older, 'ahead');
  await recordAdoption(
    { ...ahead, detail: { ...ahead.detail, adoptedAt: '2027-11-24T09:00:00Z' } },
    adoptions,
  );
  await recordAdoption(said(20, newer, 'ahead'), adoptions);
  const [record] = await kept('ahead');
  expect(record).toMatchObject({ versionId: newer, adoptedAt: '2026-11-24T09:00:20.000Z' });
  expect(record?.expiresAt).toBe(Date.parse('2026-11-24T09:00:20Z') / 1_000 + 100 * 86_400);
});
