import { setImmediate as turn } from 'node:timers/promises';
import { ConditionalCheckFailedException, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, PutCommand } from '@aws-sdk/lib-dynamodb';
import { mockClient } from 'aws-sdk-client-mock';
import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import * as z from 'zod';
import { settle } from '../../../shared/state/outbox.ts';
import { type Records, recordsOf } from '../../../shared/state/records.ts';
import { recordsInMemory } from './in-memory.ts';

/** State: the numbers that were seen. Each new one is an alert. */
function setting(records: Records<number[], number> = recordsInMemory()) {
  const sent: number[] = [];
  let minute = 0;
  return {
    sent,
    later: () => {
      minute += 1;
    },
    see: (number: number, send: (alert: number, signal: AbortSignal) => Promise<void> = async () => {}) =>
      settle<number[], number>(
        'key',
        (seen = []) => (seen.includes(number) ? undefined : { state: [...seen, number], alert: number }),
        {
          records,
          now: () => new Date(minute * 60_000),
          send: async (alert, signal) => {
            await send(alert, signal);
            sent.push(alert);
          },
        },
      ),
  };
}

test('runs at the same time, repeats among them, send each alert once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 12 }),
      fc.scheduler(),
      async (all, s) => {
        const { sent, see } = setting();
        const runs = all.map((number) => s.schedule(Promise.resolve()).then(() => see(number, () => turn())));
        await s.waitAll();
        await Promise.all(runs);
        expect(sent.toSorted()).toEqual([...new Set(all)].sort());
      },
    ),
    { numRuns: 50 },
  );
});

test('an alert that comes while another is sent goes out too, by the run that sends', async () => {
  const { sent, see } = setting();
  await see(1, () => see(2));
  expect(sent).toEqual([1, 2]);
});

test('what a killed run owed is sent by its repeat, once its claim has run out, and in order', async () => {
  const { sent, see, later } = setting();
  const killed = async () => {
    throw new Error('killed');
  };
  await expect(see(1, killed)).rejects.toThrow('killed');
  await see(2);
  expect(sent).toEqual([]);
  later();
  await see(1);
  await see(2);
  expect(sent).toEqual([1, 2]);
});

test('what was sent of several alerts is not sent again, where the run is killed at a later one', async () => {
  const { sent, see, later } = setting();
  const killed = async () => {
    throw new Error('killed');
  };
  await expect(see(1, killed)).rejects.toThrow('killed');
  await see(2);
  later();
  await expect(see(3, async (alert) => (alert === 2 ? killed() : undefined))).rejects.toThrow('killed');
  later();
  await see(3);
  expect(sent).toEqual([1, 2, 3]);
});

test('a send is given up long before another run may send the same alert', async () => {
  const { see } = setting();
  const timeout = vi.spyOn(AbortSignal, 'timeout');
  onTestFinished(() => timeout.mockRestore());
  await see(1, async (_, signal) => {
    expect(signal.aborted).toBe(false);
    expect(timeout.mock.calls).toEqual([[20_000]]);
  });
});

test('a claim whose write took so long that another run may send by now sends nothing', async () => {
  const records = recordsInMemory<number[], number>();
  const { sent, see, later } = setting({
    read: records.read,
    async write(key, next) {
      later();
      return records.write(key, next);
    },
  });
  const given = async (_: number, signal: AbortSignal) => signal.throwIfAborted();
  await expect(see(1, given)).rejects.toMatchObject({ name: 'AbortError' });
  expect(sent).toEqual([]);
});

test('an alert whose write the SDK made twice, for its first reply was lost, is sent, and only that one is taken out', async () => {
  const records = recordsInMemory<number[], number>();
  // Told of the second attempt: another was first.
  const { sent, see } = setting({
    read: records.read,
    write: async (key, next) => (await records.write(key, next)) && false,
  });
  await see(1, async (alert) => {
    const before = await records.read('key');
    // Meanwhile another run adds what it learnt, and leaves it to this one.
    if (before && alert === 1) await records.write('key', { ...before, state: [1, 2], outbox: [1, 2] });
  });
  expect(sent).toEqual([1, 2]);
  expect(await records.read('key')).toMatchObject({ state: [1, 2], outbox: [], claimedUntil: 0 });
});

test('a record that others keep changing is an error, so that the delivery comes again', async () => {
  const { see } = setting({ read: async () => undefined, write: async () => false });
  await expect(see(1)).rejects.toMatchObject({ name: 'RecordContendedError' });
});

test('a record is written only over the revision that was read', async () => {
  const documents = mockClient(DynamoDBDocumentClient);
  onTestFinished(() => documents.restore());
  const records = recordsOf<number[], number>(new DynamoDBClient(), 'table', {
    kind: 'seen',
    state: z.array(z.number()),
    alert: z.number(),
  });
  const kept = { revision: 3, state: [1], outbox: [1], claimedUntil: 0 };
  documents.on(GetCommand).resolves({ Item: { ...kept, id: 'seen#key' } });
  documents
    .on(PutCommand)
    .resolvesOnce({})
    .rejectsOnce(new ConditionalCheckFailedException({ message: '', $metadata: {} }))
    .rejects(Object.assign(new Error('hunter2'), { name: 'ThrottlingException' }));

  expect(await records.read('key')).toEqual(kept);
  expect(await records.write('key', kept)).toBe(true);
  expect(await records.write('key', kept)).toBe(false);
  await expect(records.write('key', kept)).rejects.toThrow(/^dynamodb:PutItem: ThrottlingException$/);
  expect(documents.commandCalls(PutCommand)[0]?.args[0].input).toMatchObject({
    Item: { id: 'seen#key', revision: 4 },
    ConditionExpression: 'attribute_not_exists(id) OR revision = :read',
    ExpressionAttributeValues: { ':read': 3 },
  });
});
