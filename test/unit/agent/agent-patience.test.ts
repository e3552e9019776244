import { once } from 'node:events';
import { Agent, createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type AgentSecrets, type AgentSecretsOptions, createAgentSecrets } from '../../../agent/index.ts';
import { Store, secret, secretArn } from './setting.ts';

/** What AWS answers to each action; to others, nothing ever. */
const answers = new Map([
  ['CreateQueue', '{"QueueUrl":"http://127.0.0.1/1/queue"}'],
  ['GetQueueAttributes', '{"Attributes":{"QueueArn":"arn:aws:sqs:eu-central-1:1:queue"}}'],
  [
    'Subscribe',
    '<SubscribeResponse><SubscribeResult><SubscriptionArn>arn:s</SubscriptionArn></SubscribeResult></SubscribeResponse>',
  ],
  ['Unsubscribe', '<UnsubscribeResponse></UnsubscribeResponse>'],
  ['TagQueue', '{}'],
  ['ReceiveMessage', '{}'],
  ['DeleteQueue', '{}'],
]);
let silentOn: string;
/** A poll that is asked to wait is answered with it. */
let polled: Promise<string>;
let longPolls: number;
let asked: Set<string>;
let aws: Server;
let agent: AgentSecrets;
const said: string[] = [];

beforeEach(async () => {
  asked = new Set();
  said.length = 0;
  silentOn = '';
  polled = new Promise(() => undefined);
  longPolls = 0;
  aws = createServer(async (request, response) => {
    const { 'x-amz-target': target } = request.headers;
    const body = await text(request);
    const action = target?.toString().split('.')[1] ?? new URLSearchParams(body).get('Action') ?? '';
    asked.add(action);
    const isLong = action === 'ReceiveMessage' && JSON.parse(body).WaitTimeSeconds > 0;
    if (isLong) longPolls += 1;
    const answer = isLong ? await polled : action === silentOn ? undefined : answers.get(action);
    if (answer) response.end(answer);
  });
  await once(aws.listen(0, '127.0.0.1'), 'listening');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(async () => {
  vi.useRealTimers();
  aws.closeAllConnections();
  await new Promise((resolve) => aws.close(resolve));
});

function agentOn({ aws: own, ...options }: Partial<AgentSecretsOptions>) {
  const address = aws.address();
  if (typeof address !== 'object' || address === null) throw new Error('The server listens on no port');
  const store = new Store();
  agent = createAgentSecrets({
    agentId: 'billing-7',
    source: { fetch: async (id) => ({ ...(await store.fetch(id)), arn: secretArn }) },
    aws: {
      region: 'eu-central-1',
      endpoint: `http://127.0.0.1:${address.port}`,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      maxAttempts: 1,
      ...own,
    },
    log: { warn: (message, fields) => said.push(`${message}: ${Object.values(fields).join()}`) },
    // Queues that others left behind are looked for after all that happens here.
    random: () => 0.999,
    ...options,
  });
}
const topicArn = 'arn:aws:sns:eu-central-1:123456789012:invalidations';
const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 4_000 });
/** Lets the time pass that an answer is waited for. */
const passed = () => vi.advanceTimersByTimeAsync(5_000);

test('an agent closes in order though SNS is silent, and says that its queue is left', async () => {
  silentOn = 'Unsubscribe';
  agentOn({ topicArn });
  await until(() => asked.has('ReceiveMessage'));
  const closed = agent.close();
  await until(() => asked.has('Unsubscribe'));
  await passed();
  await closed;
  expect(said).toEqual(["The agent's queue could not be removed: TimeoutError"]);
});

test('a queue that SNS does not answer for is given up, and not left behind', async () => {
  silentOn = 'Subscribe';
  agentOn({ topicArn });
  await until(() => asked.has('Subscribe'));
  await passed();
  await until(() => said.length > 0);
  expect(said).toEqual(['The invalidation queue could not be polled: TimeoutError']);
  expect(asked).toContain('DeleteQueue');
  await agent.close();
});

test('a bus that is silent is given up: the adoption may be told again', async () => {
  agentOn({ eventBusName: 'keyturn-test' });
  await agent.get(secret);
  await until(() => asked.has('PutEvents'));
  await passed();
  await until(() => said.length > 0);
  expect(said[0]).toMatch(/^An adoption could not be published: .*TimeoutError/);
  await agent.close();
});

test('a caller who waits for AWS three seconds at most hears notices all the same: a poll lasts twenty', async () => {
  const answer = Promise.withResolvers<string>();
  polled = answer.promise;
  const connections: boolean[] = [];
  agentOn({
    topicArn,
    aws: { requestHandler: { requestTimeout: 3_000, throwOnRequestTimeout: true } },
    onConnected: (connected) => connections.push(connected),
  });
  await until(() => longPolls === 1);
  await vi.advanceTimersByTimeAsync(20_000);
  answer.resolve('{"Messages":[]}');
  await until(() => longPolls > 1);
  expect(connections).toEqual([true]);
  expect(said).toEqual([]);
  await agent.close();
});

test('a poll whose connection died unnoticed is given up after half a minute', async () => {
  agentOn({ topicArn });
  await until(() => longPolls === 1);
  await vi.advanceTimersByTimeAsync(30_000);
  await until(() => said.length > 0);
  expect(said).toEqual(['The invalidation queue could not be polled: TimeoutError']);
  await agent.close();
});

test("a handler of HTTP that is the caller's is not the agent's to end", async () => {
  const httpAgent = new Agent();
  const ofNode = vi.spyOn(httpAgent, 'destroy');
  const handler = { handle: () => Promise.reject(new Error('down')), destroy: vi.fn() };
  for (const requestHandler of [handler, { httpAgent }]) {
    said.length = 0;
    agentOn({ topicArn, aws: { requestHandler } });
    await until(() => longPolls > 0 || said.length > 0);
    await agent.close();
  }
  expect(handler.destroy).not.toHaveBeenCalled();
  expect(ofNode).not.toHaveBeenCalled();
  httpAgent.destroy();
});
