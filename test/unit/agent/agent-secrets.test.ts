import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { DeleteMessageBatchCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  type Adoption,
  AgentClosedError,
  type AgentSecrets,
  createAgentSecrets,
  SecretValue,
  type SecretVersion,
  type WhichVersion,
} from '../../../agent/index.ts';
import { fieldsOf } from '../../../agent/secret-version.ts';
import type { VersionNotice } from '../../../agent/version-floor.ts';
import { PostgresServer } from './postgres-server.ts';
import { bodyOf, Store, secret, settled } from './setting.ts';

const agentId = 'billing-7';
const secretsManager = mockClient(SecretsManagerClient);
const sqs = mockClient(SQSClient);
afterAll(() => {
  secretsManager.restore();
  sqs.restore();
});
let server: PostgresServer;
let store: Store;
let agent: AgentSecrets;
let port: number;
const queue: VersionNotice[] = [];
const adoptions: Adoption[] = [];
let arrived = Promise.withResolvers<void>();

beforeEach(async () => {
  server = new PostgresServer();
  port = await server.listening();
  store = new Store();
  for (const list of [queue, adoptions]) list.length = 0;
  secretsManager.on(GetSecretValueCommand).callsFake(async ({ SecretId, VersionId }) => {
    const version = await store.fetch(SecretId, VersionId === undefined ? {} : { versionId: VersionId });
    return {
      VersionId: version.versionId,
      CreatedDate: new Date(version.createdAt),
      VersionStages: [...version.stages],
      SecretString: version.value.reveal(),
    };
  });
  sqs.on(DeleteMessageBatchCommand).resolves({});
  sqs.on(ReceiveMessageCommand).callsFake(async (_input, _client) => {
    await arrived.promise;
    arrived = Promise.withResolvers();
    return {
      Messages: queue.splice(0).map((notice) => ({ ReceiptHandle: 'r', Body: bodyOf(notice, agentId) })),
    };
  });
  moveTo('agent_a');
  agent = createAgentSecrets({
    agentId,
    queueUrl: 'https://sqs.eu-central-1.amazonaws.com/123456789012/keyturn-billing-7',
    aws: { region: 'eu-central-1' },
    now: () => store.now,
    onAdopted: (adoption) => {
      adoptions.push(adoption);
      server.changed();
    },
  });
});
afterEach(async () => {
  arrived.resolve();
  await agent.close();
  await server[Symbol.asyncDispose]();
  secretsManager.reset();
  sqs.reset();
});

function moveTo(username: string): VersionNotice {
  server.logins.set(username, `p-${username}`);
  store.now += 10_000;
  const login = {
    engine: 'postgres',
    host: '127.0.0.1',
    port,
    username,
    password: `p-${username}`,
    ssl: false,
  };
  return store.rotate(JSON.stringify({ database: login, apiKey: `key-of-${username}` }));
}

async function valueOfItsName(name: string): Promise<SecretVersion> {
  const text = JSON.stringify({ password: `password-of-${name}` });
  const value = SecretValue.of(text);
  return { versionId: 'only', createdAt: 0, stages: [], fields: fieldsOf(text), value };
}

test('a rotation reaches the pool and the credential through the queue, and is reported', async () => {
  const pool = agent.postgres(secret, { field: 'database' });
  expect((await pool.query('whoami')).rows).toEqual([{ login: 'agent_a' }]);
  const notice = moveTo('agent_b');
  queue.push(notice);
  arrived.resolve();
  await server.until(() => adoptions.length === 2);
  expect((await pool.query('whoami')).rows).toEqual([{ login: 'agent_b' }]);
  const { versionId, fields } = await agent.get(secret);
  expect(versionId).toBe(notice.versionId);
  expect(`${fields.apiKey}`).toBe('[secret]');
  expect(adoptions.at(-1)).toMatchObject({ secret, versionId });
  expect(agent.connected).toBe(true);
});

test('one without a queue lives by its TTL', async () => {
  const alone = createAgentSecrets({ agentId, aws: { region: 'eu-central-1' }, now: () => store.now });
  const { versionId } = await alone.get(secret);
  const notice = moveTo('agent_b');
  expect(alone.connected).toBe(false);
  expect((await alone.get(secret)).versionId).toBe(versionId);
  store.now += 300_000;
  expect((await alone.get(secret)).versionId).toBe(notice.versionId);
  await alone.close();
});

test('tells who listens of a version that comes in, and reads anew on demand', async () => {
  await agent.get(secret);
  const told: string[] = [];
  using _listening = agent.onChange(secret, ({ versionId }) => told.push(versionId));
  const notice = moveTo('agent_b');
  expect((await agent.refreshNow(secret)).versionId).toBe(notice.versionId);
  expect(told).toEqual([notice.versionId]);
});

test('tells of what it reads of a secret only where none of its pools is open', async () => {
  const pools = [
    agent.postgres(secret, { field: 'database' }),
    agent.postgres(secret, { field: 'database' }),
  ];
  const readAnew = async () => {
    const { versionId } = moveTo('agent_b');
    await agent.refreshNow(secret);
    return versionId;
  };
  const told = () => adoptions.map(({ versionId }) => versionId);
  await pools[0]?.[Symbol.asyncDispose]();
  await readAnew();
  expect(told()).toEqual([]);
  await pools[1]?.[Symbol.asyncDispose]();
  const versionId = await readAnew();
  expect(told()).toEqual([versionId]);
  await pools[1]?.[Symbol.asyncDispose]();
  await using _another = agent.postgres(secret, { field: 'database' });
  await readAnew();
  expect(told()).toEqual([versionId]);
});

test('waits for a pool that is being closed, and does not keep one that was', async () => {
  const ends = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const [closed, closing] = ends.map(({ promise }) =>
    agent.connections(secret, {
      open: async (version) => version,
      close: () => promise,
      isAuthFailure: () => false,
    }),
  );
  for (const connections of [closed, closing]) await connections?.use(() => undefined);
  if (!closed || !closing) throw new Error('two were made');
  const letGo = vi.spyOn(closed, Symbol.asyncDispose);
  ends[0]?.resolve();
  await closed[Symbol.asyncDispose]();
  void closing[Symbol.asyncDispose]();
  let isClosed = false;
  const closingAgent = agent.close().then(() => {
    isClosed = true;
  });
  await settled();
  expect(isClosed).toBe(false);
  ends[1]?.resolve();
  arrived.resolve();
  await closingAgent;
  expect(letGo).toHaveBeenCalledTimes(1);
});

test('takes out of a text what it holds, and of what it has held only the last', async () => {
  await using small = createAgentSecrets({ agentId, source: { fetch: valueOfItsName }, maxEntries: 2 });
  await small.get('in-use');
  for (const name of ['first', 'second', 'third', 'fourth']) {
    await small.get(name);
    await small.get('in-use');
  }
  const text = 'password-of-in-use, of password-of-first, password-of-second, password-of-fourth';
  expect(small.redactor()(text)).toBe('[secret], of password-of-first, [secret], [secret]');
});

test('takes out of a text what was read by its id, and takes nothing in once closed', async () => {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  const source = {
    async fetch(name: string, { versionId, versionStage = 'AWSCURRENT' }: WhichVersion = {}) {
      if (versionId === 'late') await promise;
      return valueOfItsName(`${name}-${versionId ?? versionStage}`);
    },
  };
  const other = createAgentSecrets({ agentId, source });
  const redact = other.redactor();
  await other.get('s');
  await other.version('s', { versionStage: 'AWSPREVIOUS' });
  const text = 'password-of-s-AWSCURRENT and password-of-s-AWSPREVIOUS';
  expect(redact(text)).toBe('[secret] and [secret]');
  const late = other.version('s', { versionId: 'late' });
  await other.close();
  answer();
  await late;
  expect(redact('password-of-s-late')).toBe('password-of-s-late');
});

test('serves nothing once closed, and may be closed twice', async () => {
  const pool = agent.postgres(secret, { field: 'database' });
  await pool.query('whoami');
  arrived.resolve();
  await agent.close();
  await agent.close();
  await expect(agent.get(secret)).rejects.toThrow(AgentClosedError);
  await expect(pool.query('whoami')).rejects.toThrow(AgentClosedError);
  expect(() => agent.postgres(secret)).toThrow(AgentClosedError);
  expect(() => agent.onChange(secret, () => undefined)).toThrow(AgentClosedError);
  await server.until(() => server.sessions.size === 0);
});
