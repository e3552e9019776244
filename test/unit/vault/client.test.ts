import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { appRoleLogin, connectVault, type Vault } from '../../../shared/vault/client.ts';
import { VaultDeniedError, VaultStandbyError } from '../../../shared/vault/errors.ts';

const forbidden = { status: 403, errors: ['permission denied'] };
const login = appRoleLogin(async () => ({ roleId: 'role', secretId: 'secret' }));
let server: Server;
let address: string;
let vault: Vault;
/** How often the client logged in, and the tokens that its requests bore, in order. */
let logins: number;
let borne: string[];
/** The namespace that each request was for, logins included. */
let namespaces: unknown[];
/** The token that Vault knows: that of the newest login, until a test says otherwise. */
let known: string | undefined;
let loginIs: { status: number; errors: string[] } | undefined;
/** What Vault answers to a path, for whatever token it knows. */
let answers: Map<string, { status: number; errors: string[] }>;
/** How many requests after each login a standby is behind for, and how many it still is. */
let behindFor: number;
let behind: number;
let pauses: number[];
/** Holds back the answer to a path until it resolves. */
let gates: Map<string, Promise<void>>;

beforeEach(async () => {
  [logins, borne, known, loginIs] = [0, [], undefined, undefined];
  [answers, gates, namespaces] = [new Map(), new Map(), []];
  [behindFor, behind, pauses] = [0, 0, []];
  server = createServer(async (request, response) => {
    const path = request.url?.replace('/v1/', '') ?? '';
    namespaces.push(request.headers['x-vault-namespace']);
    const answer = (status: number, body: object) => response.writeHead(status).end(JSON.stringify(body));
    if (path === 'auth/approle/login') {
      logins += 1;
      if (loginIs) return answer(loginIs.status, loginIs);
      known = `token-${logins}`;
      behind = behindFor;
      return answer(200, { auth: { client_token: known } });
    }
    const token = String(request.headers['x-vault-token']);
    borne.push(token);
    if (token === known && behind > 0) {
      behind -= 1;
      return answer(412, { errors: ['required index state not present'] });
    }
    const failure = token === known ? answers.get(path) : forbidden;
    await gates.get(path);
    if (failure) return answer(failure.status, failure);
    return answer(200, { data: { version: 1, data: { path }, metadata: { version: 1 } } });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  if (at === null || typeof at === 'string') throw new Error('The server has no port');
  address = `http://127.0.0.1:${at.port}`;
  const wait = async (ms: number) => void pauses.push(ms);
  vault = connectVault({ address, mount: 'secret', login, wait });
});
afterEach(() => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  server.close();
});

test.each([1, 2])('a standby that has not heard of a login %i times is asked again', async (times) => {
  behindFor = times;
  await vault.readData('fine');
  known = undefined;
  expect(await vault.writeData('fine', {}, 1)).toBe(1);
  expect(logins).toBe(2);
  expect(pauses).toHaveLength(2 * times);
});

test('one that stays behind fails as a standby, its login stays in use', async () => {
  behindFor = 9;
  await expect(vault.readData('fine')).rejects.toThrow(VaultStandbyError);
  expect(borne).toHaveLength(3);
  behind = 0;
  await vault.readData('fine');
  expect(logins).toBe(1);
});

test.each([
  ['a check-and-set that missed', 400, 'check-and-set parameter did not match'],
  ['a rate limit', 429, 'request path rate limit quota exceeded'],
  ['a failure of its own', 500, 'internal error'],
  ['a refusal of what was sent', 400, 'failed to parse JSON input'],
])('keeps its token where Vault answers %s', async (_, status, error) => {
  answers.set('secret/data/failing', { status, errors: [error] });
  await vault.readData('fine');
  await expect(vault.writeData('failing', {}, 1)).rejects.toThrow();
  await vault.readData('fine');
  expect(logins).toBe(1);
});

test('logs in once for all whose token Vault knows no more', async () => {
  await vault.readData('fine');
  known = undefined;
  await Promise.all(Array.from({ length: 10 }, (_, number) => vault.readData(`key-${number}`)));
  expect(logins).toBe(2);
});

test('does not give up the login that was made since, for a late refusal of the one before', async () => {
  await vault.readData('fine');
  known = undefined;
  const answered = Promise.withResolvers<void>();
  gates.set('secret/data/slow', answered.promise);
  const slow = vault.readData('slow');
  await expect.poll(() => borne.length).toBe(2);
  await vault.readData('quick');
  answered.resolve();
  expect(await slow).toMatchObject({ data: { path: 'secret/data/slow' } });
  expect(logins).toBe(2);
});

test('what its policy denies is denied after one fresh login, whose token stays in use', async () => {
  answers.set('secret/data/denied', forbidden);
  await vault.readData('fine');
  await expect(vault.readData('denied')).rejects.toThrow(VaultDeniedError);
  await vault.readData('fine');
  expect(borne).toEqual(['token-1', 'token-1', 'token-2', 'token-2']);
});

test('what the first request is denied is not asked again, and its token stays in use', async () => {
  answers.set('secret/data/denied', forbidden);
  await expect(vault.readData('denied')).rejects.toThrow(VaultDeniedError);
  await vault.readData('fine');
  expect(borne).toEqual(['token-1', 'token-1']);
});

test.each([
  ['denied', 403],
  ['not answered', 503],
])(
  'a login that was %s fails all who waited for it, and the next request logs in anew',
  async (_, status) => {
    loginIs = { status, errors: ['no'] };
    const both = await Promise.allSettled([vault.readData('one'), vault.readData('other')]);
    expect(both.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
    expect([logins, borne]).toEqual([1, []]);
    loginIs = undefined;
    await vault.readData('one');
    expect(logins).toBe(2);
  },
);

test("logs in and asks in the namespace that it is given, and in none that is the operator's own", async () => {
  vi.stubEnv('VAULT_NAMESPACE', 'of/the/terminal');
  const names = { address, mount: 'secret', login };
  await connectVault({ ...names, namespace: 'admin/agents' }).readData('key');
  expect(namespaces.splice(0)).toEqual(['admin/agents', 'admin/agents']);
  await connectVault(names).readData('key');
  expect(namespaces).toEqual([undefined, undefined]);
});
