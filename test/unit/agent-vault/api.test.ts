import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  appRoleLogin,
  createAgentVault,
  SecretNotFoundError,
  SecretUnavailableError,
  SourceUnreachableError,
} from '../../../agent/index.ts';
import { vaultApi } from '../../../agent/vault/api.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';

/** How Vault answers a request, in turn; the last one stands for all that follow. */
type Answer = 'none' | 'never' | number | { readonly status: number; readonly location: string };

let server: Server;
let address: string;
let answers: Answer[];
let asked: string[];
let pauses: number[];

const body = {
  auth: { client_token: 'token', lease_duration: 3_600, renewable: true },
  data: {
    ttl: 3_600,
    renewable: true,
    data: { apiKey: 'canary' },
    metadata: { version: 1, created_time: '2026-11-24T09:00:00Z' },
  },
};
const waiting = {
  random: () => 0,
  wait: async (ms: number, signal: AbortSignal) => {
    signal.throwIfAborted();
    // A renewal is due in hours.
    if (ms > 1_000) await once(signal, 'abort');
    else pauses.push(ms);
  },
};

beforeEach(async () => {
  answers = [];
  asked = [];
  pauses = [];
  server = createServer(({ method, url, socket }, response) => {
    asked.push(`${method} ${url}`);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === 'never') return;
    if (answer === 'none') return void socket.destroy();
    const { status, location } = typeof answer === 'object' ? answer : { status: answer, location: '' };
    response.writeHead(status ?? 200, location === '' ? {} : { location });
    response.end(JSON.stringify(body));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  if (at === null || typeof at === 'string') throw new Error('The server has no port');
  address = `http://127.0.0.1:${at.port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

test('a time-out longer than a timer can wait is as long as one can', async () => {
  const api = vaultApi({ address, timeoutMs: Number.POSITIVE_INFINITY });
  await expect(api('GET', 'sys/health')).resolves.toEqual(body);
});

test.each<[string, Answer[]]>([
  ['the login gets no answer', ['none', 200]],
  ['the login meets a fault', [502, 500, 200]],
  ['the read gets no answer', [200, 'none', 200]],
  ['the read meets a fault twice', [200, 503, 503, 200]],
  ['a standby has not heard of the token yet', [200, 412, 200]],
])('a secret is read at the first call, though %s', async (_, given) => {
  answers = given;
  const login = appRoleLogin({ roleId: 'role', secretId: SecretValue.of('secret-id') });
  await using vault = createAgentVault({ address, login, ...waiting });
  await expect(vault.get('agents/billing-7/llm')).resolves.toMatchObject({ versionId: '1' });
});

test('what may be repeated is asked three times, with pauses that grow', async () => {
  answers = ['none'];
  const api = vaultApi({ address, ...waiting });
  await expect(api('GET', 'secret/data/x', { repeatable: true })).rejects.toThrow(
    `Vault did not answer at ${address}`,
  );
  expect(asked).toHaveLength(3);
  expect(pauses).toHaveLength(2);
  expect(pauses[1]).toBeGreaterThan(pauses[0] ?? Number.NaN);
});

test('what makes something is asked for once: a login of a database might be made twice', async () => {
  answers = [500];
  await expect(vaultApi({ address, ...waiting })('GET', 'database/creds/billing')).rejects.toThrow(
    SourceUnreachableError,
  );
  expect(asked).toHaveLength(1);
});

test('what makes something is asked for again where a standby was behind: that has made nothing', async () => {
  answers = [412, 412, 200];
  const api = vaultApi({ address, ...waiting });
  await expect(api('GET', 'database/creds/billing')).resolves.toEqual(body);
  expect(asked).toHaveLength(3);
});

test('a standby that stays behind is out of reach', async () => {
  answers = [412];
  const api = vaultApi({ address, ...waiting });
  await expect(api('GET', 'database/creds/billing')).rejects.toThrow(SourceUnreachableError);
  expect(asked).toHaveLength(3);
});

test.each<[string, Answer]>([
  ['refused', 403],
  ['not there', 404],
  ['redirected', { status: 307, location: 'http://elsewhere' }],
])('what is %s is not asked for again', async (_, answer) => {
  answers = [answer];
  const api = vaultApi({ address, ...waiting });
  await expect(api('GET', 'secret/data/x', { repeatable: true })).rejects.toThrow();
  expect(asked).toHaveLength(1);
});

test('a Vault that hangs costs one time-out, whatever may be repeated', async () => {
  answers = ['never'];
  const api = vaultApi({ address, timeoutMs: 1, ...waiting });
  await expect(api('GET', 'secret/data/x', { repeatable: true })).rejects.toThrow(SourceUnreachableError);
  expect(pauses).toEqual([]);
});

test('a standby that sends on says so, with both addresses and nothing of the request', async () => {
  answers = [{ status: 307, location: 'https://active.example:8200/v1/auth/approle/login?canary' }];
  const login = appRoleLogin({ roleId: 'role', secretId: SecretValue.of('secret-id') });
  await using vault = createAgentVault({ address, login });
  const failure = vault.get('agents/billing-7/llm');
  await expect(failure).rejects.toThrow(SecretUnavailableError);
  await expect(failure).rejects.toThrow(`${address} redirects to https://active.example:8200 (307)`);
  await expect(failure).rejects.not.toThrow('canary');
});

test.each(['/vault', '/vault/', '/behind/vault'])('a Vault behind a proxy is asked at %s', async (at) => {
  answers = [200];
  await vaultApi({ address: `${address}${at}` })('GET', 'secret/data/x?version=1');
  expect(asked).toEqual([`GET ${at.replace(/\/$/, '')}/v1/secret/data/x?version=1`]);
});

const unplain = ['../../team-b/data/keys', 'agents/../../team-b', './x', 'agents//x', '/x', 'x/', '', '..'];
test.each(unplain)(
  'a path that is no plain one, as %j, is not asked for: it could leave the mount',
  async (path) => {
    answers = [200];
    await using vault = createAgentVault({
      address,
      login: async () => ({ token: SecretValue.of('token') }),
    });
    await expect(vault.get(path)).rejects.toThrow(SecretNotFoundError);
    expect(asked).toEqual(['GET /v1/auth/token/lookup-self']);
  },
);

test.each(['..', '%2e%2E', 'secret/.%2e'])('nor is a mount as %s, nor a role', async (name) => {
  answers = [200];
  await using vault = createAgentVault({ address, login: async () => ({ token: SecretValue.of('token') }) });
  await expect(vault.get('x', { mount: name })).rejects.toThrow(SecretNotFoundError);
  await expect(vault.databaseCredentials('x', { mount: name })).rejects.toThrow(SecretNotFoundError);
  await expect(vault.databaseCredentials('..')).rejects.toThrow(SecretNotFoundError);
  expect(asked).toEqual(['GET /v1/auth/token/lookup-self']);
});
