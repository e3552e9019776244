import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createAgentVault,
  kubernetesLogin,
  LoginRefusedError,
  SecretDeniedError,
  SecretDisposedError,
  SecretNotFoundError,
  SecretUnavailableError,
  SecretValue,
  tokenFileLogin,
} from '../../../agent/index.ts';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { type Postgres, startPostgres } from '../../../local/postgres/server.ts';
import { until } from '../../../local/until.ts';
import { type Cluster, startCluster } from './token-review.ts';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
const tokenPath = join(folder, 'service-account-token');
let bao: OpenBao;
let postgres: Postgres;
let cluster: Cluster;

beforeAll(async () => {
  [bao, postgres, cluster] = await Promise.all([
    startOpenBao({ port: await freePort(), logFile: join(folder, 'bao.log') }),
    startPostgres({ port: await freePort(), logFile: join(folder, 'postgres.log') }),
    startCluster(await freePort()),
  ]);
  await bao.request('POST', 'sys/policies/acl/billing', {
    policy: `path "secret/data/agents/billing-7/*" { capabilities = ["read"] }
path "database/creds/billing" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }`,
  });
  await bao.request('POST', 'sys/auth/kubernetes', { type: 'kubernetes' });
  await bao.request('POST', 'auth/kubernetes/config', kubernetes());
  await bao.request('POST', 'auth/kubernetes/role/billing', {
    bound_service_account_names: ['billing'],
    bound_service_account_namespaces: ['agents'],
    alias_name_source: 'serviceaccount_name',
    audience: 'vault',
    token_policies: ['billing'],
    token_ttl: '2s',
    token_max_ttl: '10m',
  });
  await bao.request('POST', 'sys/mounts/database', { type: 'database' });
  await bao.request('POST', 'database/config/orders', {
    plugin_name: 'postgresql-database-plugin',
    allowed_roles: ['billing'],
    connection_url: `postgresql://{{username}}:{{password}}@127.0.0.1:${postgres.port}/postgres?sslmode=disable`,
    username: 'admin',
    password: postgres.password,
  });
  await bao.request('POST', 'database/roles/billing', {
    db_name: 'orders',
    creation_statements: [
      `CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`,
    ],
    default_ttl: '2s',
    max_ttl: '5s',
  });
});
afterAll(async () => {
  await Promise.allSettled([bao, postgres, cluster].map((part) => part?.[Symbol.asyncDispose]()));
});

const kubernetes = () => ({
  kubernetes_host: cluster.url,
  kubernetes_ca_cert: 'not used over http',
  disable_local_ca_jwt: true,
});
const asPod = (namespace = 'agents', name = 'billing', options = {}) =>
  writeFileSync(tokenPath, cluster.serviceAccountToken(namespace, name, options));
const vaultOf = (more = {}) =>
  createAgentVault({ address: bao.url, login: kubernetesLogin({ role: 'billing', tokenPath }), ...more });
const put = (path: string, data: object) => bao.request('POST', `secret/data/${path}`, { data });

async function worksInPostgres({ username, password }: { username: string; password: SecretValue }) {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: postgres.port,
    database: 'postgres',
    user: username,
    password: password.reveal(),
  });
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end();
  }
}

test('a pod logs in by its service account, and reads what its policy allows', async () => {
  asPod();
  await put('agents/billing-7/llm', { apiKey: 'canary-3f9d' });
  await using vault = vaultOf();
  const version = await vault.get('agents/billing-7/llm');
  expect(version).toMatchObject({ versionId: '1', stages: ['AWSCURRENT'] });
  expect(version.fields.apiKey instanceof SecretValue && version.fields.apiKey.reveal()).toBe('canary-3f9d');
  await expect(vault.get('agents/research-1/llm')).rejects.toThrow(SecretDeniedError);
  await expect(vault.get('agents/billing-7/nothing')).rejects.toThrow(SecretNotFoundError);
});

test('lends, pins, redacts, reads anew and counts, as the client of Secrets Manager does', async () => {
  asPod();
  const path = 'agents/billing-7/parity';
  await put(path, { apiKey: 'canary-one' });
  await using vault = vaultOf();
  const keyOf = ({ fields }: { fields: Readonly<Record<string, unknown>> }) =>
    fields.apiKey instanceof SecretValue ? fields.apiKey.reveal() : undefined;
  const kept = await vault.withSecret(path, (secret) => {
    expect(keyOf(secret)).toBe('canary-one');
    return secret;
  });
  expect(() => keyOf(kept)).toThrow(SecretDisposedError);
  await vault.turn(async (pinned) => {
    const before = await pinned.get(path);
    await put(path, { apiKey: 'canary-two' });
    expect(keyOf(await vault.refreshNow(path))).toBe('canary-two');
    expect(await pinned.get(path)).toBe(before);
  });
  expect(vault.redactor()('canary-one, then canary-two')).toBe('[secret], then [secret]');
  expect(vault.stats()).toMatchObject({ hits: 1, misses: 1, failedReads: 0 });
});

test.each([
  ['another service account', () => asPod('agents', 'research')],
  ['another namespace', () => asPod('default', 'billing')],
  ['a token that another cluster signed', () => asPod('agents', 'billing', { signedByUs: false })],
])('%s is refused, by an error that says so and shows no token', async (_, given) => {
  given();
  await using vault = vaultOf();
  const failure = await vault.get('agents/billing-7/llm').then(String, (error: unknown) => error);
  expect(failure).toBeInstanceOf(SecretUnavailableError);
  expect(failure).toMatchObject({ cause: expect.any(LoginRefusedError) });
  expect(String(failure)).toContain('Vault refuses auth/kubernetes/login (403)');
  expect(String(failure)).not.toMatch(/ey[A-Z]/);
});

test('without a token to log in with, the file where it should be is named', async () => {
  writeFileSync(tokenPath, '');
  await using vault = vaultOf();
  await expect(vault.get('agents/billing-7/llm')).rejects.toThrow(`${tokenPath} holds no token`);
});

test('the service account token that the kubelet has rotated is the one that the next login sends', async () => {
  asPod();
  const path = 'agents/billing-7/rotating';
  await put(path, { n: 1 });
  await using vault = vaultOf({ ttlMs: 0 });
  await vault.get(path);
  asPod('agents', 'research');
  await bao.request('POST', 'sys/leases/revoke-prefix/auth/kubernetes/login');
  await put(path, { n: 2 });
  // Of the secret, Vault has said nothing.
  expect(await vault.get(path)).toMatchObject({ versionId: '1' });
  expect(vault.health()).toMatchObject([{ state: 'stale', failure: 'LoginRefusedError' }]);
  asPod();
  await until('the next login succeeds', async () => (await vault.get(path)).versionId === '2');
});

test('while the Kubernetes API is away Vault refuses every login, and what is held is served all the same', async () => {
  asPod();
  await put('agents/billing-7/blip', { n: 1 });
  await using vault = vaultOf({ ttlMs: 0 });
  await vault.get('agents/billing-7/blip');
  await bao.request('POST', 'sys/leases/revoke-prefix/auth/kubernetes/login');
  const away = { kubernetes_host: `http://127.0.0.1:${await freePort()}` };
  await bao.request('POST', 'auth/kubernetes/config', { ...kubernetes(), ...away });
  try {
    expect(await vault.get('agents/billing-7/blip')).toMatchObject({ versionId: '1' });
    expect(vault.health()).toMatchObject([{ state: 'stale', failure: 'LoginRefusedError' }]);
  } finally {
    await bao.request('POST', 'auth/kubernetes/config', kubernetes());
  }
});

test('a mirror is of the version in Secrets Manager that it is stamped with', async () => {
  asPod();
  await put('agents/billing-7/mirror', { password: 'one' });
  const stamped = { keyturn_version_id: 'v-from-aws', keyturn_kv_version: '1' };
  await bao.request('POST', 'secret/metadata/agents/billing-7/mirror', { custom_metadata: stamped });
  await using vault = vaultOf({ ttlMs: 0 });
  expect((await vault.get('agents/billing-7/mirror')).versionId).toBe('v-from-aws');
  await put('agents/billing-7/mirror', { password: 'by hand' });
  await using later = vaultOf();
  expect((await later.get('agents/billing-7/mirror')).versionId).toBe('2');
});

test('a login of the database is this instance’s own, outlives its lease by others, and ends with the client', async () => {
  asPod();
  const vault = vaultOf();
  const other = vaultOf();
  const replaced: string[] = [];
  vault.onDatabaseCredentials('billing', ({ username }) => replaced.push(username));
  const first = await vault.databaseCredentials('billing');
  expect(first).toMatchObject({ ttlSeconds: 2, leaseId: expect.stringContaining('database/creds/billing/') });
  expect((await other.databaseCredentials('billing')).username).not.toBe(first.username);
  expect(await worksInPostgres(first)).toBe(true);
  expect(vault.redactor()(`postgres://u:${first.password.reveal()}@db`)).toBe('postgres://u:[secret]@db');
  // Renewed for as long as its max TTL of 5 s lets it, and then another.
  const second = await until('another login', async () => {
    const now = await vault.databaseCredentials('billing');
    expect(await worksInPostgres(now)).toBe(true);
    return now.username !== first.username && now;
  });
  expect(replaced).toEqual([first.username, second.username]);
  await vault.close();
  await other.close();
  expect(await postgres.query(`SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-kubernet%'`)).toEqual([]);
});

test('a login whose token was revoked, and it with it, is not given out again', async () => {
  asPod();
  await put('agents/billing-7/revoked', { n: 1 });
  await using vault = vaultOf({ ttlMs: 0 });
  const first = await vault.databaseCredentials('billing');
  await bao.request('POST', 'sys/leases/revoke-prefix/auth/kubernetes/login');
  await until('the login is gone', async () => !(await worksInPostgres(first)));
  await vault.get('agents/billing-7/revoked');
  expect(await worksInPostgres(await vault.databaseCredentials('billing'))).toBe(true);
});

test('sealed: what is held is served up to its bound, and then it is unavailable', async () => {
  await put('agents/billing-7/sealed', { n: 1 });
  const file = join(folder, 'token');
  writeFileSync(file, bao.rootToken);
  let now = 0;
  await using vault = createAgentVault({ address: bao.url, login: tokenFileLogin(file), now: () => now });
  await vault.get('agents/billing-7/sealed');
  await bao.seal();
  now += 600_000;
  expect((await vault.get('agents/billing-7/sealed')).versionId).toBe('1');
  const health = { secretId: 'secret/agents/billing-7/sealed', failure: 'SourceUnreachableError' };
  expect(vault.health()).toMatchObject([{ ...health, state: 'stale' }]);
  now += 3_600_000;
  await expect(vault.get('agents/billing-7/sealed')).rejects.toThrow(SecretUnavailableError);
  expect(vault.health()).toMatchObject([{ ...health, state: 'unavailable' }]);
});
