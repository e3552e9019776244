import {
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  type ReceiveMessageCommandOutput,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { mockClient } from 'aws-sdk-client-mock';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { InvalidationListener, receive } from '../../../agent/invalidation.ts';
import type { VersionNotice } from '../../../agent/version-floor.ts';
import sample from '../../../events/cache-invalidation/sample.json' with { type: 'json' };

const agentId = sample.agentId;
const queueUrl = 'https://sqs.eu-central-1.amazonaws.com/123456789012/keyturn-billing-7';
const sampleNotice: VersionNotice = {
  secret: sample.secret,
  secretArn: sample.secretArn,
  versionId: sample.versionId,
  versionCreatedAt: Date.parse(sample.versionCreatedAt),
  movedAt: Date.parse(sample.movedAt),
};

describe('a message', () => {
  const received = (body: string) => {
    const notices: VersionNotice[] = [];
    return { receipt: receive(body, agentId, (notice) => notices.push(notice)), notices };
  };

  test('is understood as SNS delivers it raw, and in its envelope', () => {
    const raw = JSON.stringify(sample);
    const wrapped = JSON.stringify({ Type: 'Notification', MessageId: '1', TopicArn: 'arn', Message: raw });
    for (const body of [raw, wrapped]) {
      expect(received(body)).toEqual({ receipt: 'noticed', notices: [sampleNotice] });
    }
  });

  test('for another agent has no effect', () => {
    expect(received(JSON.stringify({ ...sample, agentId: 'billing-8' }))).toEqual({
      receipt: "another agent's",
      notices: [],
    });
  });

  test.each([
    ['nothing', ''],
    ['no JSON', '{"versionId":'],
    ['another shape', '[1, null]'],
    ['a field too many', JSON.stringify({ ...sample, password: 'x' })],
    ['a time that is none', JSON.stringify({ ...sample, movedAt: 'soon' })],
    ['an envelope of nonsense', JSON.stringify({ Type: 'Notification', Message: '<xml/>' })],
  ])('of %s is malformed and has no effect', (_what, body) => {
    expect(received(body)).toEqual({ receipt: 'malformed', notices: [] });
  });

  test('of any other text or JSON is malformed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (body) => {
        expect(received(body).receipt).toBe('malformed');
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the listener', () => {
  const sqs = mockClient(SQSClient);
  afterAll(() => sqs.restore());
  const log = { warn: vi.fn() };
  const notices: VersionNotice[] = [];
  const waits: number[] = [];
  /** What the agent's author does when the connection comes or goes. */
  let onConnected: (connected: boolean) => void;

  beforeEach(() => {
    sqs.reset();
    onConnected = () => undefined;
    sqs.on(DeleteMessageBatchCommand).resolves({ Successful: [], Failed: [] });
    for (const list of [notices, waits]) list.length = 0;
    log.warn.mockReset();
  });

  /** `afterMs`: how long the queue took to answer. */
  type Answer = Partial<ReceiveMessageCommandOutput> & { readonly afterMs?: number };

  /** Listens while the queue answers as told, and then until it is closed while a poll waits. */
  async function listened(...answers: readonly (Answer | Error)[]) {
    const left = [...answers];
    const connections: boolean[] = [];
    const { promise: idle, resolve } = Promise.withResolvers<void>();
    let elapsed = 0;
    sqs.on(ReceiveMessageCommand).callsFake(async () => {
      const next = left.shift();
      if (next instanceof Error) throw next;
      elapsed += next?.afterMs ?? 0;
      if (next) return next;
      resolve();
      return new Promise((_, reject) => closing.signal.addEventListener('abort', () => reject(new Error())));
    });
    const closing = new AbortController();
    const listener = new InvalidationListener({
      sqs: new SQSClient({ region: 'eu-central-1' }),
      queueUrl,
      agentId,
      notice: (notice) => notices.push(notice),
      log,
      onConnected: (connected) => {
        connections.push(connected);
        return onConnected(connected);
      },
      wait: async (ms) => {
        waits.push(ms);
      },
      now: () => elapsed,
      signal: closing.signal,
    });
    await idle;
    const { connected } = listener;
    closing.abort();
    await listener[Symbol.asyncDispose]();
    return { connected, connections, closed: listener.connected };
  }

  const message = (body: string, id = 'm1') => ({ MessageId: id, ReceiptHandle: `r-${id}`, Body: body });

  test('polls long, passes a notice on and deletes its message', async () => {
    await listened({ Messages: [message(JSON.stringify(sample))] });
    expect(notices).toEqual([sampleNotice]);
    const polls = sqs.commandCalls(ReceiveMessageCommand).map(({ args }) => args[0].input);
    expect(polls).toEqual([
      // The first one only finds out whether the queue can be read.
      { QueueUrl: queueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 0 },
      { QueueUrl: queueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 20 },
    ]);
    expect(sqs.commandCalls(DeleteMessageBatchCommand).map(({ args }) => args[0].input)).toEqual([
      { QueueUrl: queueUrl, Entries: [{ Id: '0', ReceiptHandle: 'r-m1' }] },
    ]);
  });

  test('deletes what it cannot use, says so without quoting it, and hears the next', async () => {
    await listened({
      Messages: [message('hunter2', 'bad'), message(JSON.stringify({ ...sample, agentId: 'x' }), 'theirs')],
    });
    await listened({ Messages: [message(JSON.stringify(sample), 'good')] });
    expect(notices).toEqual([sampleNotice]);
    expect(log.warn.mock.calls).toEqual([
      ['A message had no effect', { receipt: 'malformed', messageId: 'bad' }],
      ['A message had no effect', { receipt: "another agent's", messageId: 'theirs' }],
    ]);
    expect(
      sqs.commandCalls(DeleteMessageBatchCommand).flatMap(({ args }) => args[0].input.Entries ?? []),
    ).toHaveLength(3);
  });

  test('polls a queue that fails ever more rarely, and says whether it is connected', async () => {
    const down = Array.from({ length: 9 }, () => new Error('down'));
    const { connected, connections, closed } = await listened({}, ...down, {}, new Error('down'), {});
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 500]);
    expect(connections).toEqual([true, false, true, false, true, false]);
    expect([connected, closed]).toEqual([true, false]);
  });

  test.each([
    [
      'throws',
      () => {
        throw new TypeError('not ready');
      },
    ],
    ['rejects', () => Promise.reject(new TypeError('not ready'))],
  ])('hears on though what it tells of its state %s, and so does its log', async (_, fails) => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    onConnected = fails;
    log.warn.mockImplementation(fails);
    const { connections } = await listened(
      { Messages: [message('nonsense')] },
      new Error('down'),
      {},
      { Messages: [message(JSON.stringify(sample))] },
    );
    expect(notices).toEqual([sampleNotice]);
    expect(connections).toEqual([true, false, true, false]);
    expect(new Set(warned.mock.calls.flat())).toEqual(new Set(['A listener of the agent failed: TypeError']));
    expect(warned).toHaveBeenCalledTimes(6);
    warned.mockRestore();
  });

  test('asks a queue that answers at once, though it was asked to wait, twice a second and not all the time', async () => {
    await listened({}, {}, { afterMs: 3 }, { afterMs: 20_000 }, { Messages: [message('late')], afterMs: 3 });
    // The first one isn't asked to wait, and after a message there may be more.
    expect(waits).toEqual([500, 500]);
  });
});
