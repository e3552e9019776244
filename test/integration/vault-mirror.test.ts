import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  ListSecretVersionIdsCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type OpenBao, startOpenBao } from '../../local/openbao/server.ts';
import { appRoleLogin, connectVault, type Vault } from '../../shared/vault/client.ts';
import { mirrorDigest } from '../../shared/vault/digest.ts';
import { VaultSealedError } from '../../shared/vault/errors.ts';
import { syncMirror } from '../../shared/vault/mirror.ts';
import {
  MirrorNameError,
  MirrorPathError,
  MirrorTakenError,
  StaleReadError,
} from '../../shared/vault/mirror-errors.ts';

const canary = 'canary-3f9d1c';
const aws = mockClient(SecretsManagerClient);
const secretsManager = new SecretsManagerClient({ region: 'eu-west-1' });
const digest = mirrorDigest(Buffer.from('a key for tests'));
const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-bao-')), 'bao.log');
let bao: OpenBao;
let vault: Vault;

beforeAll(async () => {
  bao = await startOpenBao({ port: 21_700 + (process.pid % 1_000) * 2, logFile });
  await bao.request('POST', 'sys/auth/approle', { type: 'approle' });
  await bao.request('POST', 'sys/policies/acl/mirror', {
    policy: 'path "secret/*" { capabilities = ["create","read","update"] }',
  });
  await bao.request('POST', 'auth/approle/role/mirror', { token_policies: 'mirror' });
  const role = z.object({ data: z.object({ role_id: z.string() }) });
  const secret = z.object({ data: z.object({ secret_id: z.string() }) });
  const roleId = role.parse(await bao.request('GET', 'auth/approle/role/mirror/role-id')).data.role_id;
  const secretId = secret.parse(await bao.request('POST', 'auth/approle/role/mirror/secret-id')).data
    .secret_id;
  vault = connectVault({
    address: bao.url,
    mount: 'secret',
    login: appRoleLogin(async () => ({ roleId, secretId })),
  });
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

const dates = { v1: new Date(1_000), v2: new Date(2_000), v3: new Date(3_000) };
function secretIs(
  name: string,
  version: keyof typeof dates,
  stages: Record<string, string[]> = {},
  path = `agents/a1/${name}`,
): void {
  aws.reset();
  const tags = { managed_by: 'agent-platform', agent_id: 'a1', 'keyturn:mirror': path };
  aws.on(DescribeSecretCommand).resolves({
    ARN: `arn:${name}`,
    Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
    VersionIdsToStages: { ...stages, [version]: ['AWSCURRENT'] },
    LastChangedDate: dates[version],
  });
  aws.on(GetSecretValueCommand).resolves({
    VersionId: version,
    CreatedDate: dates[version],
    SecretString: JSON.stringify({ password: `${canary}-${version}` }),
  });
  aws.on(ListSecretVersionIdsCommand).resolves({ Versions: [] });
}
const sync = (name: string, to: Vault = vault, movedTo?: keyof typeof dates) =>
  syncMirror(
    `arn:${name}`,
    { secretsManager, vault: to, digest: async () => digest },
    movedTo === undefined ? {} : { moved: { to: movedTo, at: dates[movedTo] } },
  );
const failureOf = async (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => expect.unreachable(),
    (error: unknown) => error,
  );

describe('the mirror', () => {
  test('writes once, and a repeat writes nothing', async () => {
    secretIs('repeat', 'v1');
    expect(await sync('repeat')).toBe('written');
    expect(await sync('repeat')).toBe('unchanged');
    expect(await vault.readData('agents/a1/repeat')).toEqual({
      data: { password: `${canary}-v1` },
      version: 1,
    });
  });

  test('lets no older read overwrite a newer one, but follows a rollback by hand', async () => {
    secretIs('older', 'v2');
    await sync('older');
    secretIs('older', 'v1');
    await expect(sync('older')).rejects.toThrow(StaleReadError);
    secretIs('older', 'v1', { v2: ['AWSPREVIOUS'] });
    expect(await sync('older')).toBe('written');
  });

  test.each([
    ['unseen', {}, undefined],
    ['described', { v2: ['AWSPENDING'] }, undefined],
    ['listed', {}, ['AWSPENDING']],
  ])('an event comes again while its version is not AWSCURRENT yet: %s', async (how, stages, listed) => {
    secretIs(`lagging-${how}`, 'v1', stages);
    const Versions = listed ? [{ VersionId: 'v2', VersionStages: listed }] : [];
    aws.on(ListSecretVersionIdsCommand).resolves({ Versions });
    await expect(sync(`lagging-${how}`, vault, 'v2')).rejects.toThrow(StaleReadError);
    secretIs(`lagging-${how}`, 'v2');
    expect(await sync(`lagging-${how}`, vault, 'v2')).toBe('written');
    expect((await vault.readData(`agents/a1/lagging-${how}`))?.data).toEqual({ password: `${canary}-v2` });
  });

  test.each([
    ['without a label', {}, []],
    ['as AWSPREVIOUS', { v2: ['AWSPREVIOUS'] }, ['AWSPREVIOUS']],
  ])(
    'an event comes again where a read that is older than it shows its version %s',
    async (how, stages, listed) => {
      const name = `between ${how}`.replaceAll(' ', '-');
      secretIs(name, 'v1', stages);
      aws
        .on(ListSecretVersionIdsCommand)
        .resolves({ Versions: [{ VersionId: 'v2', VersionStages: listed }] });
      await expect(sync(name, vault, 'v2')).rejects.toThrow(StaleReadError);
      secretIs(name, 'v2');
      expect(await sync(name, vault, 'v2')).toBe('written');
    },
  );

  test('an event that comes late, its version superseded since, is done with', async () => {
    secretIs('late', 'v2', { v1: ['AWSPREVIOUS'] });
    expect(await sync('late', vault, 'v1')).toBe('written');
    secretIs('late', 'v3', { v2: ['AWSPREVIOUS'] });
    aws.on(ListSecretVersionIdsCommand).resolves({ Versions: [{ VersionId: 'v1', VersionStages: [] }] });
    expect(await sync('late', vault, 'v1')).toBe('written');
  });

  test.each(['claim', 'data'] as const)('converges when killed after the %s', async (after) => {
    const name = `killed-${after}`;
    secretIs(name, 'v1');
    const killed: Vault = {
      ...vault,
      writeData: after === 'claim' ? () => Promise.reject(new Error('killed')) : vault.writeData,
      writeCustomMetadata: async (path, custom) => {
        if (custom.keyturn_version_id) throw new Error('killed');
        await vault.writeCustomMetadata(path, custom);
      },
    };
    await expect(sync(name, killed)).rejects.toThrow('killed');
    secretIs(name, 'v2');
    expect(await sync(name)).toBe('written');
    expect(await sync(name)).toBe('unchanged');
    expect((await vault.readData(`agents/a1/${name}`))?.data).toEqual({ password: `${canary}-v2` });
  });

  test("does not overwrite someone else's key", async () => {
    await vault.writeData('agents/a1/foreign', { mine: true }, 0);
    secretIs('foreign', 'v1');
    await expect(sync('foreign')).rejects.toThrow(MirrorTakenError);
  });

  test.each([
    'agents/a1/../a2/x',
    'agents/a1/%2e%2e/x',
    'agents/a1//x',
    '/agents/a1/x',
    'agents/a1/+',
    'agents/a2/x',
  ])('refuses the path %s', async (path) => {
    secretIs('escape', 'v1', {}, path);
    await expect(sync('escape')).rejects.toThrow(MirrorPathError);
  });

  test("mirrors a secret whose ARN is as long as KV's notes, and refuses a longer one before anything is written", async () => {
    const longest = 'n'.repeat(512 - 'arn:'.length);
    secretIs(longest, 'v1', {}, 'agents/a1/longest');
    expect(await sync(longest)).toBe('written');
    secretIs(`${longest}n`, 'v1', {}, 'agents/a1/longer');
    await expect(sync(`${longest}n`)).rejects.toThrow(MirrorNameError);
    expect(await vault.readKey('agents/a1/longer')).toBeUndefined();
  });

  test('fails with a typed error that shows no secret while sealed, and goes on once unsealed', async () => {
    secretIs('repeat', 'v3');
    await bao.seal();
    const error = await failureOf(sync('repeat'));
    const writing = await failureOf(vault.writeData('agents/a1/repeat', { password: canary }, 1));
    expect(error).toBeInstanceOf(VaultSealedError);
    expect(inspect([error, writing], { depth: 20, showHidden: true })).not.toContain(canary);
    await bao.unseal(/Unseal Key: (\S+)/.exec(readFileSync(logFile, 'utf8'))?.[1] ?? '');
    expect(await sync('repeat')).toBe('written');
  });
});
