import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { mirrorAppRole } from '../../../local/openbao/approle.ts';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import { appRoleLogin, connectVault, type Vault } from '../../../shared/vault/client.ts';
import { mirrorDigest } from '../../../shared/vault/digest.ts';
import { syncMirror } from '../../../shared/vault/mirror.ts';
import { clientOf } from '../../integration/rotation/in-process.ts';

/** What becomes of a request to Vault: `lost`: it is carried out, and its answer never arrives. */
type Fault = 'none' | 'hangs' | 'resets' | 'lost' | 'garbage' | number;

const parts = new AsyncDisposableStack();
let bao: OpenBao;
let appRole: { readonly role_id: string; readonly secret_id: string };
let address: string;
let fault: Fault = 'none';
/** Only requests that begin so meet the fault: `POST /v1/secret/data`. */
let where = '';

beforeAll(async () => {
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-bao-')), 'bao.log');
  bao = parts.use(await startOpenBao({ port: await freePort({ next: true }), logFile }));
  appRole = await mirrorAppRole(bao);
  address = await startFaults();
});
afterAll(() => parts.disposeAsync());

/** Stands in front of Vault and makes the fault of the moment. */
async function startFaults(): Promise<string> {
  const server = createServer(async (request, response) => {
    const meets = `${request.method} ${request.url}`.startsWith(where) ? fault : 'none';
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(z.instanceof(Uint8Array).parse(chunk));
    if (meets === 'hangs') return;
    if (meets === 'resets') return void request.socket.resetAndDestroy();
    if (meets === 'garbage') return void response.writeHead(200).end('<html>');
    if (typeof meets === 'number') return void response.writeHead(meets).end('{"errors":["canary"]}');
    const { 'x-vault-token': token = '' } = request.headers;
    const answer = await fetch(`${bao.url}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { 'x-vault-token': String(token) },
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    const body = await answer.text();
    if (meets === 'lost') return void request.socket.resetAndDestroy();
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  parts.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const bound = z.object({ port: z.number() }).parse(server.address());
  return `http://127.0.0.1:${bound.port}`;
}

const digest = async () => mirrorDigest(Buffer.from('a key for tests'));
let count = 0;

/** A mirrored secret with a second version that Vault hasn't heard of, and how to mirror it. */
async function behind(): Promise<{ engine: Engine; path: string; sync: () => Promise<unknown> }> {
  fault = 'none';
  count += 1;
  const path = `agents/env${count}/credentials`;
  const engine = createEngine();
  await engine.CreateSecret({
    Name: path,
    SecretString: JSON.stringify({ password: 'canary-1' }),
    Tags: Object.entries({
      agent_id: `env${count}`,
      managed_by: 'agent-platform',
      'keyturn:mirror': path,
    }).map(([Key, Value]) => ({ Key, Value })),
  });
  const vault: Vault = connectVault({
    address,
    mount: 'secret',
    timeoutMs: 300,
    login: appRoleLogin(async () => ({ roleId: appRole.role_id, secretId: appRole.secret_id })),
  });
  const sync = () => syncMirror(path, { secretsManager: clientOf(engine), vault, digest });
  await sync();
  await engine.PutSecretValue({ SecretId: path, SecretString: JSON.stringify({ password: 'canary-2' }) });
  return { engine, path, sync };
}

const kv = z.object({
  data: z.object({ data: z.object({ password: z.string() }), metadata: z.object({ version: z.number() }) }),
});
async function mirrorAt(path: string): Promise<{ password: string; version: number }> {
  const { data } = kv.parse(await bao.request('GET', `secret/data/${path}`));
  return { password: data.data.password, version: data.metadata.version };
}

const faults: readonly (readonly [string, Fault, string])[] = [
  ['is sealed or overloaded (503)', 503, 'VaultUnreachableError'],
  ['is a standby (429)', 429, 'VaultStandbyError'],
  ['is a disaster-recovery secondary (472)', 472, 'VaultStandbyError'],
  ['is a performance standby (473)', 473, 'VaultStandbyError'],
  ['is a standby without an active node (474)', 474, 'VaultStandbyError'],
  ['fails (500)', 500, 'VaultUnreachableError'],
  ['is behind a gateway that fails (502)', 502, 'VaultUnreachableError'],
  ['refuses (403)', 403, 'VaultDeniedError'],
  ['hangs', 'hangs', 'VaultUnreachableError'],
  ['resets the connection', 'resets', 'VaultUnreachableError'],
  ['answers with something else', 'garbage', 'VaultResponseError'],
];

describe.each(faults)('while Vault %s', (_, which, error) => {
  test.each([
    ['at the first read', 'GET /v1/secret/data'],
    ['at the write of the value', 'POST /v1/secret/data'],
    ['at the write of the stamp', 'POST /v1/secret/metadata'],
  ])('%s, the mirror is not torn, and catches up afterwards with one write', async (_at, prefix) => {
    const { path, sync } = await behind();
    fault = which;
    where = prefix;
    const failure: unknown = await sync().then(
      () => 'it went through',
      (thrown: unknown) => thrown,
    );
    expect(failure).toMatchObject({ name: error });
    expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain('canary');
    const torn = await mirrorAt(path);
    expect(['canary-1', 'canary-2']).toContain(torn.password);
    fault = 'none';
    await sync();
    const { password, version } = await mirrorAt(path);
    expect(password).toBe('canary-2');
    expect(version).toBeLessThanOrEqual(3);
    expect(await sync()).toBe('unchanged');
  });
});

describe.each([
  ['value', 'POST /v1/secret/data'],
  ['stamp', 'POST /v1/secret/metadata'],
])('when the reply to the write of the %s is lost', (_, prefix) => {
  test('the next run finds what it wrote, and the mirror is in sync', async () => {
    const { path, sync } = await behind();
    fault = 'lost';
    where = prefix;
    await expect(sync()).rejects.toMatchObject({ name: 'VaultUnreachableError' });
    fault = 'none';
    await sync();
    expect(await mirrorAt(path)).toMatchObject({ password: 'canary-2' });
    expect(await sync()).toBe('unchanged');
  });
});

test('a token that Vault has revoked is replaced by a fresh login, within the same run', async () => {
  const { path, sync } = await behind();
  await bao.request('PUT', 'sys/leases/revoke-prefix/auth/approle/login');
  expect(await sync()).toBe('written');
  expect(await mirrorAt(path)).toMatchObject({ password: 'canary-2' });
});

test('of two runs at once one writes, and the other loses the check-and-set or finds it done', async () => {
  const { path, sync } = await behind();
  const outcomes = await Promise.allSettled([sync(), sync()]);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ name: 'CasMismatchError' });
  }
  expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true);
  await sync();
  expect(await mirrorAt(path)).toMatchObject({ password: 'canary-2' });
});
