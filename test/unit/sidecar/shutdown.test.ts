import { Agent, request } from 'node:http';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type AgentSecrets, createAgentSecrets } from '../../../agent/index.ts';
import { type Sidecar, startSidecar } from '../../../agent/sidecar/server.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { Store, secret, timeOf, versionIdOf } from '../agent/setting.ts';

const token = 'a-token-of-the-sidecar';
let store: Store;
let agent: AgentSecrets;
let sidecar: Sidecar;
/** Callers keep their connections, as clients of a pool do. */
let callers: Agent;
let read: PromiseWithResolvers<void>;

beforeEach(async () => {
  store = new Store();
  read = Promise.withResolvers();
  callers = new Agent({ keepAlive: true });
  agent = createAgentSecrets({ agentId: 'billing-7', source: store, ...timeOf(store) });
  sidecar = await startSidecar({ agent, token: SecretValue.of(token), port: 0 });
});
afterEach(async () => {
  vi.useRealTimers();
  read.resolve();
  await sidecar[Symbol.asyncDispose]();
  callers.destroy();
  await agent.close();
});

function ask(path: string) {
  return new Promise<{ status: number; connection: string; body: string }>((resolve, reject) => {
    const headers = { 'X-Aws-Parameters-Secrets-Token': token };
    request(new URL(path, sidecar.url), { headers, agent: callers }, async (answer) => {
      let body = '';
      for await (const chunk of answer) body += chunk;
      resolve({ status: answer.statusCode ?? 0, connection: answer.headers.connection ?? '', body });
    })
      .once('error', reject)
      .end();
  });
}
const current = `/secretsmanager/get?secretId=${secret}`;
const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 4_000 });

test('a caller who waits for a secret when the sidecar is told to end gets it, and no other call is taken', async () => {
  store.gate = read.promise;
  const asked = ask(current);
  await until(() => store.fetches.length === 1);
  const ended = sidecar[Symbol.asyncDispose]();
  const refused = expect(ask('/ping')).rejects.toThrow('ECONNREFUSED');
  const answered = expect(asked).resolves.toMatchObject({ status: 200, connection: 'close' });
  await refused;
  read.resolve();
  await Promise.all([answered, ended]);
});

test('watchers, one that has just asked included, and connections that are kept hold up no end', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await ask('/ping');
  const watched = ask(`/secretsmanager/watch?secretId=${secret}`);
  await until(() => store.fetches.length === 1);
  await agent.get(secret);
  store.gate = read.promise;
  const late = ask(`/secretsmanager/watch?secretId=${secret}-2`);
  await until(() => store.fetches.length === 2);
  const ended = sidecar[Symbol.asyncDispose]();
  expect((await watched).body).toContain(versionIdOf(0));
  read.resolve();
  expect((await late).body).toContain(versionIdOf(0));
  await ended;
});

test('who still waits five seconds later is cut off', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  store.gate = read.promise;
  const asked = ask(current);
  await until(() => store.fetches.length === 1);
  const cut = expect(asked).rejects.toThrow('socket hang up');
  let isEnded = false;
  const ended = sidecar[Symbol.asyncDispose]().then(() => {
    isEnded = true;
  });
  await vi.advanceTimersByTimeAsync(4_999);
  expect(isEnded).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await Promise.all([cut, ended]);
});
