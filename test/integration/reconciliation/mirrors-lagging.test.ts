import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { syncMirror } from '../../../shared/vault/mirror.ts';
import { UnexplainedValueError } from '../../../shared/vault/mirror-errors.ts';
import { clientOf } from '../rotation/in-process.ts';
import { mirrorsIn, vaultForMirrors } from './mirror-setting.ts';

let bao: Awaited<ReturnType<typeof vaultForMirrors>>['bao'];
let vault: Awaited<ReturnType<typeof vaultForMirrors>>['vault'];
beforeAll(async () => {
  ({ bao, vault } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

let count = 0;

/**
 * A mirror that a run killed before its stamp left with the second value, and reads that don't show that version yet.
 * `between`: the value of a version that came between, and was never mirrored.
 */
async function halfWritten({ between }: { readonly between?: string } = {}) {
  count += 1;
  const path = `agents/lagging/s${count}`;
  const mirrors = mirrorsIn(vault);
  const { engine } = mirrors;
  const arn = await mirrors.secret(path);
  await mirrors.sync(arn);
  if (between !== undefined) await mirrors.put(arn, between);
  const described = await engine.DescribeSecret({ SecretId: arn });
  const got = await engine.GetSecretValue({ SecretId: arn });
  const listed = await engine.ListSecretVersionIds({ SecretId: arn });
  let lags = true;
  const secretsManager = clientOf({
    ...engine,
    DescribeSecret: async (request) => (lags ? described : engine.DescribeSecret(request)),
    GetSecretValue: async (request) =>
      lags && request.VersionStage !== 'AWSPREVIOUS' ? got : engine.GetSecretValue(request),
    ListSecretVersionIds: async (request) => (lags ? listed : engine.ListSecretVersionIds(request)),
  });
  await mirrors.put(arn, 'second');
  const died = { ...mirrors.parts.vault, writeCustomMetadata: () => Promise.reject(new Error('killed')) };
  await expect(syncMirror(arn, { ...mirrors.parts, vault: died })).rejects.toThrow('killed');
  return {
    mirrors,
    arn,
    path,
    secretsManager,
    seesAll: () => {
      lags = false;
    },
    held: async () => (await vault.readData(path))?.data.password,
    findings: () => mirrors.events.map(({ detail }) => detail),
  };
}

describe('a later value whose run was killed before its stamp', () => {
  it('stays, though an event of the version before comes once more and a read does not show the later one', async () => {
    const { mirrors, arn, secretsManager, held } = await halfWritten();
    expect(await syncMirror(arn, { ...mirrors.parts, secretsManager })).toBe('changed-by-hand');
    expect(await held()).toBe('second');
    expect(await mirrors.sync(arn)).toBe('stamped');
  });

  it('stays, though the event of a version that was never mirrored comes, and a read does not show the later one', async () => {
    const { mirrors, arn, secretsManager, held } = await halfWritten({ between: 'between' });
    const event = syncMirror(arn, { ...mirrors.parts, secretsManager });
    await expect(event).rejects.toThrow(UnexplainedValueError);
    expect(await held()).toBe('second');
    expect(await mirrors.sync(arn)).toBe('stamped');
  });

  it('gives way to the version in force, however many came between', async () => {
    const { mirrors, arn, seesAll, held } = await halfWritten();
    seesAll();
    for (const password of ['third', 'fourth']) await mirrors.put(arn, password);
    await mirrors.engine.PutSecretValue({ SecretId: arn, SecretString: 'no JSON' });
    await mirrors.put(arn, 'fifth');
    expect(await mirrors.sync(arn)).toBe('written');
    expect(await held()).toBe('fifth');
  });

  it('stays, and nobody is called its author, where the reconciler looks before it shows', async () => {
    const { mirrors, secretsManager, seesAll, held, findings } = await halfWritten();
    const pauses: number[] = [];
    const pause = async (ms: number) => {
      pauses.push(ms);
      seesAll();
    };
    await mirrors.hour({ secretsManager, pause });
    expect(pauses).toEqual([5_000]);
    expect(await held()).toBe('second');
    expect(findings()).toEqual([]);
  });
});

it('a mirror that is written while the reconciler waits is looked at again by the next run', async () => {
  const { mirrors, arn, path, held, findings } = await halfWritten();
  await mirrors.sync(arn);
  const byHand = (password: string) => bao?.request('POST', `secret/data/${path}`, { data: { password } });
  await byHand('one');
  await mirrors.hour({ pause: async () => byHand('other') });
  expect(findings()).toEqual([]);
  expect(await held()).toBe('other');
  await mirrors.hour();
  expect(findings()).toEqual([expect.objectContaining({ kind: 'mirror-changed-by-hand' })]);
  expect(await held()).toBe('second');
});
