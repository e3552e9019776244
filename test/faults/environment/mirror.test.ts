import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import secretLabelUpdated from '../../../events/secret-label-updated/sample.json' with { type: 'json' };
import { syncRecord } from '../../../functions/sync-vault-mirror/sync-record.ts';
import { mirrorAppRole } from '../../../local/openbao/approle.ts';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { until } from '../../../local/until.ts';
import { appRoleLogin, connectVault } from '../../../shared/vault/client.ts';
import { mirrorDigest } from '../../../shared/vault/digest.ts';
import { syncMirror } from '../../../shared/vault/mirror.ts';
import { clientOf } from '../../integration/rotation/in-process.ts';
import { startVaultProxy, type VaultFault, type VaultProxy } from './vault-proxy.ts';

const parts = new AsyncDisposableStack();
let bao: OpenBao;
let appRole: { readonly role_id: string; readonly secret_id: string };
let vaultFaults: VaultProxy;
let logFile: string;

beforeAll(async () => {
  logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-bao-')), 'bao.log');
  bao = parts.use(await startOpenBao({ port: await freePort({ next: true }), logFile }));
  appRole = await mirrorAppRole(bao);
  vaultFaults = parts.use(await startVaultProxy(bao.url));
});
afterAll(() => parts.disposeAsync());

const digest = async () => mirrorDigest(Buffer.from('a key for tests'));
let count = 0;

/** A mirrored secret with a second version that Vault hasn't heard of, and how to mirror it. A busy machine is no Vault that hangs. */
async function behind({ timeoutMs = 30_000 } = {}) {
  vaultFaults.meet('none');
  count += 1;
  const path = `agents/env${count}/credentials`;
  const engine = createEngine();
  const { ARN } = await engine.CreateSecret({
    Name: path,
    SecretString: JSON.stringify({ password: 'canary-1' }),
    Tags: Object.entries({
      agent_id: `env${count}`,
      managed_by: 'agent-platform',
      'keyturn:mirror': path,
    }).map(([Key, Value]) => ({ Key, Value })),
  });
  const started = () => ({
    secretsManager: clientOf(engine),
    digest,
    vault: connectVault({
      address: vaultFaults.address,
      mount: 'secret',
      timeoutMs,
      login: appRoleLogin(async () => ({ roleId: appRole.role_id, secretId: appRole.secret_id })),
    }),
  });
  const warm = started();
  const sync = () => syncMirror(path, warm);
  await sync();
  const put = async (password: string) => {
    const { VersionId } = await engine.PutSecretValue({
      SecretId: path,
      SecretString: JSON.stringify({ password }),
    });
    return VersionId;
  };
  const versionId = await put('canary-2');
  /** SQS hands the message of that version to a function that has just been started. */
  const deliver = (ofVersion = versionId) => {
    const detail = { name: path, labelUpdated: 'AWSCURRENT', versionId: ofVersion };
    const body = JSON.stringify({ ...secretLabelUpdated, resources: [ARN], detail });
    const silent = { info: () => undefined, warn: () => undefined };
    return syncRecord({ body }, { ...started(), log: silent, count: () => undefined });
  };
  return { engine, path, sync, put, deliver };
}

const kv = z.object({
  data: z.object({ data: z.object({ password: z.string() }), metadata: z.object({ version: z.number() }) }),
});
async function mirrorAt(path: string): Promise<{ password: string; version: number }> {
  const { data } = kv.parse(await bao.request('GET', `secret/data/${path}`));
  return { password: data.data.password, version: data.metadata.version };
}

const accessors = z.object({ data: z.object({ keys: z.array(z.string()) }) });

const faults: readonly (readonly [string, VaultFault, string])[] = [
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
    const { path, sync } = await behind(which === 'hangs' ? { timeoutMs: 2_000 } : {});
    vaultFaults.meet(which, prefix);
    const failure: unknown = await sync().then(
      () => 'it went through',
      (thrown: unknown) => thrown,
    );
    expect(failure).toMatchObject({ name: error });
    expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain('canary');
    const torn = await mirrorAt(path);
    expect(['canary-1', 'canary-2']).toContain(torn.password);
    vaultFaults.meet('none');
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
    vaultFaults.meet('lost', prefix);
    await expect(sync()).rejects.toMatchObject({ name: 'VaultUnreachableError' });
    vaultFaults.meet('none');
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

test('a token that has expired is replaced by a fresh login, within the same run', async () => {
  const role = 'auth/approle/role/keyturn-mirror';
  await bao.request('POST', role, { token_ttl: '1s', token_max_ttl: '1s' });
  const tokens = async () => {
    const { data } = accessors.parse(await bao.request('LIST', 'auth/token/accessors'));
    return data.keys.length;
  };
  const before = await tokens();
  const { path, sync } = await behind();
  await until('the token has expired', async () => (await tokens()) <= before);
  await bao.request('POST', role, { token_ttl: '20m', token_max_ttl: '20m' });
  expect(await sync()).toBe('written');
  expect(await mirrorAt(path)).toMatchObject({ password: 'canary-2' });
});

test('while Vault is sealed the message goes back to the queue, and once it is unsealed the mirror follows', async () => {
  const { path, deliver } = await behind();
  const [, key = ''] = /Unseal Key: (\S+)/.exec(readFileSync(logFile, 'utf8')) ?? [];
  await bao.seal();
  await expect(deliver().finally(() => bao.unseal(key))).rejects.toMatchObject({ name: 'VaultSealedError' });
  await until('Vault is active again', () => mirrorAt(path));
  await deliver();
  expect(await mirrorAt(path)).toMatchObject({ password: 'canary-2' });
});

describe('SQS delivers a message again in the midst of its handling', () => {
  test.each([
    ['of the read', 'GET /v1/secret/data'],
    ['of the write of the value', 'POST /v1/secret/data'],
    ['of the write of the stamp', 'POST /v1/secret/metadata'],
  ])('%s: the second handling ends it, and the first takes nothing back', async (_, prefix) => {
    const { path, sync, deliver } = await behind();
    vaultFaults.meet('held', prefix);
    const first = Promise.allSettled([deliver()]);
    await until('the first handling is held', async () => vaultFaults.isHolding());
    await deliver();
    expect(await mirrorAt(path)).toMatchObject({ password: 'canary-2' });
    vaultFaults.letGo();
    const [outcome] = await first;
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ name: 'CasMismatchError' });
    await deliver();
    expect(await mirrorAt(path)).toMatchObject({ password: 'canary-2' });
    expect(await sync()).toBe('unchanged');
  });

  test.each([
    ['of the read', 'GET /v1/secret/data'],
    ['of the write of the value', 'POST /v1/secret/data'],
    ['of the write of the stamp', 'POST /v1/secret/metadata'],
  ])('%s, and meanwhile the secret is rotated: the mirror never goes back', async (_, prefix) => {
    const { path, sync, put, deliver } = await behind();
    vaultFaults.meet('held', prefix);
    const first = Promise.allSettled([deliver()]);
    await until('the first handling is held', async () => vaultFaults.isHolding());
    await deliver(await put('canary-3'));
    expect(await mirrorAt(path)).toMatchObject({ password: 'canary-3' });
    vaultFaults.letGo();
    await first;
    expect(await mirrorAt(path)).toMatchObject({ password: 'canary-3' });
    await deliver();
    expect(await mirrorAt(path)).toMatchObject({ password: 'canary-3' });
    expect(await sync()).toBe('unchanged');
  });
});

describe('a message that failed as often as its queue allows is redriven from the dead letters', () => {
  const died = async (deliver: () => Promise<void>) => {
    vaultFaults.meet(503);
    for (let receive = 0; receive < 20; receive += 1)
      await expect(deliver()).rejects.toMatchObject({ name: 'VaultUnreachableError' });
    vaultFaults.meet('none');
  };

  test('and the mirror follows', async () => {
    const { path, deliver } = await behind();
    await died(deliver);
    await deliver();
    expect(await mirrorAt(path)).toMatchObject({ password: 'canary-2' });
  });

  test('after the secret was rotated again: the mirror stays at the latest version', async () => {
    const { path, sync, put, deliver } = await behind();
    await died(deliver);
    await deliver(await put('canary-3'));
    const { version } = await mirrorAt(path);
    await deliver();
    expect(await mirrorAt(path)).toEqual({ password: 'canary-3', version });
    expect(await sync()).toBe('unchanged');
  });
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
