import { request } from 'node:http';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SecretDeniedError, SecretNotFoundError, SourceUnreachableError } from '../../../agent/errors.ts';
import { type AgentSecrets, createAgentSecrets } from '../../../agent/index.ts';
import { BeyondLoopbackError, type Sidecar, startSidecar } from '../../../agent/sidecar/server.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { Store, secret, settled, timeOf, versionIdOf } from '../agent/setting.ts';

const token = 'a-token-of-the-sidecar';
const withToken = { 'X-Aws-Parameters-Secrets-Token': token };
let store: Store;
let agent: AgentSecrets;
let sidecar: Sidecar;

beforeEach(async () => {
  store = new Store();
  agent = createAgentSecrets({ agentId: 'billing-7', source: store, ...timeOf(store) });
  sidecar = await startSidecar({ agent, token: SecretValue.of(token), port: 0 });
});
afterEach(async () => {
  await sidecar[Symbol.asyncDispose]();
  await agent.close();
});

/** fetch sets Host by itself, so this is node's own client. */
function get(path: string, headers: Record<string, string> = withToken, method = 'GET') {
  return new Promise<{ status: number; body: string; type: string }>((resolve, reject) => {
    const asked = request(new URL(path, sidecar.url), { headers, method }, async (answer) => {
      let body = '';
      for await (const chunk of answer) body += chunk;
      resolve({ status: answer.statusCode ?? 0, body, type: answer.headers['content-type'] ?? '' });
    });
    asked.once('error', reject).end();
  });
}
const current = `/secretsmanager/get?secretId=${secret}`;
const versionOf = ({ body }: { body: string }) => JSON.parse(body).VersionId;

test('answers as GetSecretValue does, and reads once for many', async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(current)));
  for (const { status, type } of answers) expect([status, type]).toEqual([200, 'application/json']);
  expect(JSON.parse(answers[0]?.body ?? '')).toEqual({
    ARN: secret,
    Name: secret,
    VersionId: versionIdOf(0),
    SecretString: '{"username":"agent","password":"p-0"}',
    VersionStages: ['AWSCURRENT'],
    CreatedDate: Date.parse('2026-11-24T09:00:00Z') / 1_000,
  });
  expect(store.fetches).toHaveLength(1);
});

test.each([
  ['a path', `/v1/${secret}`],
  ['an encoded path', `/v1/${encodeURIComponent(secret)}`],
  ['its label', `${current}&versionStage=AWSCURRENT`],
])('%s names the secret as well', async (_, path) => {
  expect(versionOf(await get(path))).toBe(versionIdOf(0));
});

test("takes Vault's header for the token too", async () => {
  expect((await get(current, { 'X-Vault-Token': token })).status).toBe(200);
});

test('refreshNow reads again', async () => {
  await get(current);
  store.rotate();
  expect(versionOf(await get(current))).toBe(versionIdOf(0));
  expect(versionOf(await get(`${current}&refreshNow=true`))).toBe(versionIdOf(1));
});

test('a notice needs no refreshNow', async () => {
  await get(current);
  const seen: string[] = [];
  agent.onChange(secret, ({ versionId }) => seen.push(versionId));
  store.rotate();
  agent.invalidate(secret);
  expect(versionOf(await get(current))).toBe(versionIdOf(1));
});

test('a certain version is read by its id', async () => {
  store.rotate();
  expect(versionOf(await get(`${current}&versionId=${versionIdOf(0)}`))).toBe(versionIdOf(0));
});

test.each([
  ['no token', current, {}, 'GET', 403, 'Bad Token'],
  ['a wrong token', current, { 'X-Vault-Token': `${token}x` }, 'GET', 403, 'Bad Token'],
  ['a forwarded request', current, { ...withToken, 'X-Forwarded-For': '10.0.0.1' }, 'GET', 400, 'Forwarded'],
  [
    "another name's page (DNS rebinding)",
    current,
    { ...withToken, Host: 'evil.example' },
    'GET',
    400,
    'Bad host',
  ],
  ['another method', current, withToken, 'POST', 405, 'Not allowed'],
  ['another path', '/secrets', withToken, 'GET', 404, 'Not found'],
  ['no secretId', '/secretsmanager/get', withToken, 'GET', 400, 'secretId is missing'],
  [
    'a flag that is none',
    `${current}&refreshNow=yes`,
    withToken,
    'GET',
    400,
    'refreshNow: expected true or false',
  ],
  ['a path that is not encoded', '/v1/%E0%A4%A', withToken, 'GET', 400, 'The path is not well encoded'],
])('refuses %s', async (_, path, headers, method, status, says) => {
  expect(await get(path, headers, method)).toMatchObject({ status, body: says });
  expect(store.fetches).toHaveLength(0);
});

test('a connection is kept for those who ask once a minute', async () => {
  const answer = await fetch(new URL(current, sidecar.url), { headers: withToken });
  expect(answer.headers.get('keep-alive')).toBe('timeout=75');
});

test('a ping needs no token', async () => {
  expect(await get('/ping', {})).toMatchObject({ status: 200, body: 'healthy' });
});

test('more connections than allowed are told so, and a ping still gets through', async () => {
  await using narrow = await startSidecar({
    agent,
    token: SecretValue.of(token),
    port: 0,
    maxConnections: 0,
  });
  const refused = await fetch(new URL(current, narrow.url), { headers: withToken });
  expect(refused.status).toBe(429);
  expect(refused.headers.get('connection'), 'nor is its connection kept').toBe('close');
  await refused.text();
  expect((await fetch(new URL('/ping', narrow.url))).status).toBe(200);
});

test('an outage: stale is served and said, and past the bound it is 503 with the reason', async () => {
  await get(current);
  store.failure = new Error('canary-of-a-library');
  store.now += 600_000;
  expect((await get(current)).status).toBe(200);
  expect(JSON.parse((await get('/health')).body)).toMatchObject({ status: 'degraded', connected: false });
  store.now += 3_600_000;
  const gone = await get(current);
  expect(gone.status).toBe(503);
  expect(JSON.parse(gone.body).__type).toBe('ServiceUnavailableException');
  const health = await get('/health');
  expect(health.status).toBe(503);
  expect(`${gone.body}${health.body}`).not.toContain('canary');
});

test('a certain version that can not be read in an outage is 503 as well', async () => {
  store.failure = new SourceUnreachableError('GetSecretValue: ECONNREFUSED');
  const { status, body } = await get(`${current}&versionId=${versionIdOf(0)}`);
  expect(status).toBe(503);
  expect(JSON.parse(body)).toMatchObject({
    __type: 'ServiceUnavailableException',
    message: expect.stringContaining('ECONNREFUSED'),
  });
});

test('a secret that is not there is an error of the caller, as from AWS', async () => {
  const { status, body } = await get(`${current}&versionId=${versionIdOf(9)}`);
  expect(status).toBe(400);
  expect(JSON.parse(body)).toMatchObject({ __type: 'ResourceNotFoundException' });
});

test('a name that there never was is the slip of a caller, and leaves the sidecar well', async () => {
  await get(current);
  store.failure = new SecretNotFoundError('no such secret');
  const slip = await get('/secretsmanager/get?secretId=agents/billing-7/credentails');
  expect(slip.status).toBe(400);
  expect((await get('/health')).status).toBe(200);
  store.now += 600_000;
  await get(current);
  expect((await get('/health')).status, 'a secret that was served and is gone is no slip').toBe(503);
});

test('an idle sidecar is well, and so is one that was asked for a name that is denied, once that is long ago', async () => {
  const health = async () => {
    const { status, body } = await get('/health');
    return [status, JSON.parse(body).status];
  };
  await get(current);
  for (const idle of [360_000, 3_600_000]) {
    store.now += idle;
    expect(await health()).toEqual([200, 'well']);
  }
  store.failure = new SecretDeniedError('denied');
  expect((await get('/secretsmanager/get?secretId=agents/others/login')).status).toBe(400);
  expect(await health()).toEqual([503, 'failing']);
  store.now += 3_601_000;
  expect(await health()).toEqual([200, 'well']);
});

test('metrics count what happened, name no secret and hold no value', async () => {
  await get(current);
  await get(current);
  await get(current, {});
  const { body, type } = await get('/metrics');
  expect(type).toContain('version=0.0.4');
  expect(body).toContain('keyturn_cache_hits_total 1\n');
  expect(body).toContain('keyturn_source_fetches_total 1\n');
  expect(body).toContain('keyturn_sidecar_answers_total{status="403"} 1\n');
  expect(body).not.toContain(secret);
  expect(body).not.toContain('p-0');
});

test('a watch tells the version in force, then each new one, and never a value', async () => {
  const events: string[] = [];
  const asked = request(new URL(`/secretsmanager/watch?secretId=${secret}`, sidecar.url), {
    headers: withToken,
  });
  const told = (count: number) =>
    new Promise<void>((resolve) => {
      asked.once('response', (answer) =>
        answer.on('data', (chunk: Buffer) => {
          const lines = chunk.toString().matchAll(/^data: (.*)$/gm);
          events.push(...[...lines].map(([, data = '']) => data));
          if (events.length === 1) {
            store.rotate();
            agent.invalidate(secret);
          }
          if (events.length >= count) resolve();
        }),
      );
    });
  asked.end();
  await told(2);
  expect(events.map((data) => JSON.parse(data))).toEqual([
    { secretId: secret, versionId: versionIdOf(0) },
    { secretId: secret, versionId: versionIdOf(1) },
  ]);
  asked.destroy();
  await settled();
});

test('a watch whose caller is gone before the secret is there listens to nothing', async () => {
  const read = Promise.withResolvers<void>();
  store.gate = read.promise;
  const listened = vi.spyOn(agent, 'onChange');
  // One connection beyond the limit: it is taken again once the watch's is gone.
  await using narrow = await startSidecar({
    agent,
    token: SecretValue.of(token),
    port: 0,
    maxConnections: 1,
  });
  const ask = (path: string) =>
    request(new URL(path, narrow.url), { headers: { ...withToken }, agent: false });
  const metrics = () =>
    new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
      ask('/metrics')
        .once('error', reject)
        .once('response', async (answer) => {
          let text = '';
          for await (const chunk of answer) text += chunk;
          resolve({ status: answer.statusCode, text });
        })
        .end();
    });
  const watch = ask(`/secretsmanager/watch?secretId=${secret}`);
  watch.on('error', () => undefined).end();
  await vi.waitUntil(() => store.fetches.length === 1, { timeout: 4_000 });
  expect((await metrics()).status).toBe(429);
  watch.destroy();
  await vi.waitUntil(async () => (await metrics()).status === 200, { timeout: 4_000 });
  read.resolve();
  await agent.get(secret);
  await settled();
  expect(listened).not.toHaveBeenCalled();
  expect((await metrics()).text).toContain('keyturn_sidecar_watchers 0\n');
});

test('Vault is read under the same token, by plain paths only, and only where there is one', async () => {
  expect(await get('/vault/get?path=agents/billing-7/llm')).toMatchObject({ status: 404 });
  const asked: unknown[] = [];
  const vault = {
    get: async (path: string, options: object) => {
      asked.push([path, options]);
      return store.fetch(path);
    },
    stats: () => ({ hits: 0, misses: 0, fetches: 0, failedReads: 0, servedStale: 0 }),
    health: () => [],
  };
  await using both = await startSidecar({ agent, vault, token: SecretValue.of(token), port: 0 });
  const read = (query: string, headers: Record<string, string> = withToken) =>
    fetch(new URL(`/vault/get?${query}`, both.url), { headers });
  expect(await (await read('path=agents/billing-7/llm&mount=kv')).json()).toMatchObject({
    Name: 'agents/billing-7/llm',
    VersionId: versionIdOf(0),
  });
  expect(asked).toEqual([['agents/billing-7/llm', { mount: 'kv' }]]);
  for (const path of ['', '../sys', 'a/../b', 'a//b', '%2e%2e/x', 'a%3Fversion=1']) {
    expect((await read(`path=${path}`)).status).toBe(400);
  }
  expect((await read('path=x', {})).status).toBe(403);
  expect(asked).toHaveLength(1);
});

test("health tells of Vault's secrets too: one that can't be had is 503", async () => {
  let state: 'fresh' | 'stale' | 'unavailable' = 'fresh';
  const vault = {
    get: (path: string) => store.fetch(path),
    stats: () => ({ hits: 7, misses: 0, fetches: 0, failedReads: 0, servedStale: 0 }),
    health: () => [{ secretId: 'secret/agents/billing-7/llm', state }],
  };
  await using both = await startSidecar({ agent, vault, token: SecretValue.of(token), port: 0 });
  const health = async () => {
    const answer = await fetch(new URL('/health', both.url), { headers: withToken });
    return { status: answer.status, body: await answer.json() };
  };
  expect(await health()).toMatchObject({ status: 200, body: { status: 'well' } });
  const metrics = await (await fetch(new URL('/metrics', both.url), { headers: withToken })).text();
  expect(metrics, 'and so do the metrics').toContain('keyturn_cache_hits_total 7\n');
  state = 'stale';
  expect(await health()).toMatchObject({ status: 200, body: { status: 'degraded' } });
  state = 'unavailable';
  expect(await health()).toMatchObject({
    status: 503,
    body: { status: 'failing', vault: [{ secretId: 'secret/agents/billing-7/llm', state }] },
  });
});

test('does not listen beyond the loopback address unless it is told twice', async () => {
  const open = { agent, token: SecretValue.of(token), port: 0, host: '0.0.0.0' };
  await expect(startSidecar(open)).rejects.toThrow(BeyondLoopbackError);
  await using wide = await startSidecar({ ...open, beyondLoopback: true });
  const { port } = new URL(wide.url);
  expect((await fetch(`http://127.0.0.1:${port}/ping`)).status).toBe(200);
});
