import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { root } from '../../../local/root.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { connectVaultAdmin } from '../../../shared/vault/admin.ts';
import { appRoleLogin, connectVault } from '../../../shared/vault/client.ts';
import { VaultUnreachableError } from '../../../shared/vault/errors.ts';

const canary = 'canary-5a0c';
const servers: Server[] = [];
/** What arrived where nothing is to arrive. */
let heard: string[];
let elsewhere: string;

/** Gives the port. */
async function listening(server: Server): Promise<number> {
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  const at = server.address();
  if (at === null || typeof at === 'string') throw new Error('The server has no port');
  return at.port;
}
const served = async (listener: RequestListener) =>
  `http://127.0.0.1:${await listening(createServer(listener))}`;

/** Where Vault should be: sends on, with one status, what isn't let through. */
const sendingOn = (status: number, { but = '' } = {}) =>
  served(({ url = '' }, response) => {
    if (but !== '' && url.includes(but)) {
      return void response.end(JSON.stringify({ auth: { client_token: canary } }));
    }
    response.writeHead(status, { location: `${elsewhere}${url}?${canary}` }).end();
  });

beforeEach(async () => {
  heard = [];
  elsewhere = await served(({ method, url }, response) => {
    heard.push(`${method} ${url}`);
    response.end(JSON.stringify({ auth: { client_token: 'token' }, data: { keys: [] } }));
  });
});
afterEach(() => {
  vi.unstubAllEnvs();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => 'it went through',
    (thrown: unknown) => thrown,
  );
const login = appRoleLogin(async () => ({ roleId: 'role', secretId: canary }));
const mirrorsAt = (address: string) => connectVault({ address, mount: 'secret', login });
const adminAt = (address: string) => connectVaultAdmin({ address, token: SecretValue.of(canary) });

describe.each([301, 302, 303, 307, 308])('a Vault that redirects by %i', (status) => {
  test.each<[string, { but?: string }, (address: string) => Promise<unknown>]>([
    ['a login', {}, (at) => mirrorsAt(at).readData('key')],
    ['a read', { but: 'login' }, (at) => mirrorsAt(at).readData('key')],
    ['a list', { but: 'login' }, (at) => mirrorsAt(at).list('folder')],
    ['a write', { but: 'login' }, (at) => mirrorsAt(at).writeData('key', { password: canary }, 0)],
    ["an administrator's read", {}, (at) => adminAt(at).read('sys/policies/acl/a')],
    ["an administrator's write", {}, (at) => adminAt(at).write('database/config/a', { password: canary })],
    ["an administrator's removal", {}, (at) => adminAt(at).remove('sys/policies/acl/a')],
  ])(
    '%s is sent nowhere else, and fails with both origins and nothing of the request',
    async (_, but, ask) => {
      const address = await sendingOn(status, but);
      const failure = await failureOf(ask(address));
      expect(heard).toEqual([]);
      expect(failure).toBeInstanceOf(VaultUnreachableError);
      expect(String(failure)).toContain(`${address} redirects to ${elsewhere} (${status})`);
      expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain(canary);
    },
  );
});

test.each(['false', 'true'])('TLS is verified, though VAULT_SKIP_VERIFY is %s', async (value) => {
  vi.stubEnv('VAULT_SKIP_VERIFY', value);
  const pem = (name: string) => readFileSync(join(root, 'test/attacks/certificates', name));
  const server = createTlsServer({ cert: pem('valid.pem'), key: pem('valid.key') }, ({ url }, response) => {
    heard.push(String(url));
    response.end(JSON.stringify({ auth: { client_token: 'token' }, data: {} }));
  });
  const address = `https://localhost:${await listening(server)}`;
  await expect(mirrorsAt(address).readData('key')).rejects.toThrow(VaultUnreachableError);
  await expect(adminAt(address).read('sys/mounts')).rejects.toThrow(VaultUnreachableError);
  expect(heard).toEqual([]);
});

test("an administrator's namespace and token are those given, and none that is the shell's", async () => {
  vi.stubEnv('VAULT_NAMESPACE', 'of/the/shell');
  vi.stubEnv('VAULT_TOKEN', 'of-the-shell');
  const sent: unknown[] = [];
  const address = await served(({ headers }, response) => {
    sent.push([headers['x-vault-namespace'], headers['x-vault-token']]);
    response.end('{}');
  });
  await adminAt(address).read('sys/mounts');
  await connectVaultAdmin({ address, token: SecretValue.of(canary), namespace: 'team' }).read('sys/mounts');
  expect(sent).toEqual([
    [undefined, canary],
    ['team', canary],
  ]);
});

test.each(['/vault', '/vault/', '/behind/vault'])('a Vault behind a proxy is asked at %s', async (path) => {
  const asked: string[] = [];
  const address = await served(({ method, url = '' }, response) => {
    asked.push(`${method} ${url.replace(path.replace(/\/$/, ''), '')}`);
    response.end(JSON.stringify({ auth: { client_token: 'token' }, data: { keys: [] } }));
  });
  await mirrorsAt(`${address}${path}`).list('agents');
  await adminAt(`${address}${path}`).list('auth/token/accessors');
  expect(asked).toEqual([
    'POST /v1/auth/approle/login',
    'GET /v1/secret/metadata/agents?list=true',
    'GET /v1/auth/token/accessors?list=true',
  ]);
});
