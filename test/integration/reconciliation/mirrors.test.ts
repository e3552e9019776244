import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OpenBao } from '../../../local/openbao/server.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { isWrite, type Mirrors, mirrorsIn, vaultForMirrors } from './mirror-setting.ts';

let bao: OpenBao;
let vault: Vault;
let mirrors: Mirrors;
let agents = 0;
let path = '';
let arn = '';

beforeAll(async () => {
  ({ bao, vault } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());
beforeEach(async () => {
  mirrors = mirrorsIn(vault);
  agents += 1;
  path = `agents/a${agents}/credentials`;
  arn = await mirrors.secret(path);
});

const held = async (at = path) => (await vault.readData(at))?.data;
const versionOf = async (at = path) => (await vault.readMetadata(at))?.currentVersion;
const kinds = () => mirrors.events.map(({ detail }) => detail);
const byHand = (data: object) => bao.request('POST', `secret/data/${path}`, { data });

describe('every hour, a mirror', () => {
  it('that is in step costs one call of Vault, none of its own of Secrets Manager, and is not written', async () => {
    await mirrors.sync(arn);
    mirrors.calls.length = 0;
    await mirrors.hour();
    const perMirror = mirrors.calls.filter((call) => call !== 'vault:list');
    expect(perMirror).toEqual(['ListSecrets', 'vault:readKey']);
    expect(mirrors.events).toEqual([]);
    expect(mirrors.alerts).toEqual([]);
  });

  it('that is missing is written, and told of once', async () => {
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
    await mirrors.hour();
    expect(kinds()).toEqual([
      expect.objectContaining({ kind: 'mirror-missing', path, secretArn: arn, outcome: 'repaired' }),
    ]);
    expect(mirrors.alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
    expect(mirrors.alerts[0]?.runbook).toBe('https://runbook.example/mirror-missing.md');
  });

  it('whose value was deleted in Vault has it again', async () => {
    await mirrors.sync(arn);
    await bao.request('DELETE', `secret/data/${path}`);
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
    expect(kinds()).toEqual([expect.objectContaining({ kind: 'mirror-missing' })]);
  });

  it('that is behind follows, and both versions are named', async () => {
    await mirrors.sync(arn);
    const stamped = (await vault.readMetadata(path))?.custom.keyturn_version_id;
    const current = await mirrors.put(arn, 'second');
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'second' });
    expect(kinds()).toEqual([
      expect.objectContaining({
        kind: 'mirror-behind',
        stampedVersionId: stamped,
        currentVersionId: current,
        outcome: 'repaired',
      }),
    ]);
  });

  it('that is ahead of a rollback follows it', async () => {
    const first = (await mirrors.engine.GetSecretValue({ SecretId: arn })).VersionId;
    const second = await mirrors.put(arn, 'second');
    await mirrors.sync(arn);
    await mirrors.engine.UpdateSecretVersionStage({
      SecretId: arn,
      VersionStage: 'AWSCURRENT',
      MoveToVersionId: first,
      RemoveFromVersionId: second,
    });
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
    expect(kinds()).toEqual([expect.objectContaining({ kind: 'mirror-ahead', outcome: 'repaired' })]);
  });

  it('with a version that Secrets Manager does not know is left while that may still show, then follows', async () => {
    await mirrors.sync(arn);
    const custom = (await vault.readMetadata(path))?.custom ?? {};
    const madeAt = new Date(mirrors.clock.now.getTime() + 3_600_000);
    await vault.writeCustomMetadata(path, {
      ...custom,
      keyturn_version_id: '11111111-1111-4111-8111-111111111111',
      keyturn_version_created_at: madeAt.toISOString(),
    });
    mirrors.calls.length = 0;
    await mirrors.hour();
    expect(mirrors.calls.filter(isWrite)).toEqual([]);
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
    await mirrors.hour();
    expect(mirrors.events).toHaveLength(1);
  });

  it('with a version of a date that no clock can be ahead by is not waited for', async () => {
    await mirrors.sync(arn);
    const custom = (await vault.readMetadata(path))?.custom ?? {};
    await vault.writeCustomMetadata(path, {
      ...custom,
      keyturn_version_id: '11111111-1111-4111-8111-111111111111',
      keyturn_version_created_at: '2099-01-01T00:00:00.000Z',
    });
    await mirrors.hour();
    expect(kinds()).toEqual([
      expect.objectContaining({ kind: 'mirror-changed-by-hand', outcome: 'repaired' }),
    ]);
    expect(await held()).toEqual({ username: 'u', password: 'first' });
  });

  it('that somebody changed is healed, without a word of what was written', async () => {
    await mirrors.sync(arn);
    await byHand({ password: 'canary-77' });
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
    expect(kinds()).toEqual([expect.objectContaining({ kind: 'mirror-changed-by-hand' })]);
    expect(JSON.stringify([mirrors.events, mirrors.alerts])).not.toMatch(/canary-77|first/);
  });

  it('that somebody made anew with the same stamp and KV version is seen to hold another value', async () => {
    await mirrors.sync(arn);
    const custom = (await vault.readMetadata(path))?.custom;
    await bao.request('DELETE', `secret/metadata/${path}`);
    await byHand({ password: 'canary-78' });
    await vault.writeCustomMetadata(path, custom ?? {});
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
    expect(kinds()).toEqual([expect.objectContaining({ kind: 'mirror-changed-by-hand' })]);
  });

  it('from before digests, or of another key, gets one without a new version and without a word', async () => {
    await mirrors.sync(arn);
    const { keyturn_digest: _, ...old } = (await vault.readMetadata(path))?.custom ?? {};
    await vault.writeCustomMetadata(path, old);
    await mirrors.hour();
    expect((await vault.readMetadata(path))?.custom.keyturn_digest).toMatch(/^[0-9a-f]{8}:[0-9a-f]{64}$/);
    expect(await versionOf()).toBe(1);
    expect(mirrors.events).toEqual([]);
  });

  it("that someone else's key stands in the way of is never overwritten", async () => {
    await byHand({ mine: true });
    await mirrors.hour();
    await mirrors.hour();
    expect(await held()).toEqual({ mine: true });
    expect(kinds()).toEqual([expect.objectContaining({ kind: 'mirror-taken', outcome: 'needs a person' })]);
    expect(mirrors.alerts).toHaveLength(1);
  });

  it('whose tag names a path outside of its agent is told of, and no such key is read', async () => {
    await mirrors.secret(`agents/a${agents}/other`, { 'keyturn:mirror': 'agents/../infrastructure' });
    await mirrors.hour();
    expect(kinds()).toEqual(expect.arrayContaining([expect.objectContaining({ kind: 'mirror-impossible' })]));
  });

  it("whose name is too long for KV's note of it is told of, and stops no other", async () => {
    await mirrors.secret(`agents/a${agents}/${'n'.repeat(480)}`, {
      'keyturn:mirror': `agents/a${agents}/short`,
    });
    await mirrors.hour();
    expect(kinds()).toEqual(expect.arrayContaining([expect.objectContaining({ kind: 'mirror-impossible' })]));
  });
});

describe('a mirror that is to be quarantined', () => {
  beforeEach(async () => {
    await mirrors.engine.TagResource({
      SecretId: arn,
      Tags: [{ Key: 'keyturn:mirror-policy', Value: 'quarantine' }],
    });
    await mirrors.sync(arn);
    await byHand({ password: 'evidence' });
  });

  it('is left as somebody changed it, also by a rotation, and a person is asked', async () => {
    await mirrors.hour();
    await mirrors.put(arn, 'second');
    expect(await mirrors.sync(arn)).toBe('quarantined');
    await mirrors.hour();
    expect(await held()).toEqual({ password: 'evidence' });
    expect(kinds()).toEqual([
      expect.objectContaining({ kind: 'mirror-changed-by-hand', outcome: 'needs a person' }),
    ]);
    expect(mirrors.alerts).toHaveLength(1);
  });

  it('is mirrored again once the tag is gone', async () => {
    await mirrors.hour();
    await mirrors.engine.UntagResource({ SecretId: arn, TagKeys: ['keyturn:mirror-policy'] });
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
  });
});

describe('the mirror of a secret that is deleted', () => {
  const day = 24 * 3_600_000;

  it('stays through the recovery window, then goes with all its versions', async () => {
    await mirrors.sync(arn);
    await mirrors.put(arn, 'second');
    await mirrors.sync(arn);
    await mirrors.engine.DeleteSecret({ SecretId: arn, RecoveryWindowInDays: 7 });
    mirrors.clock.now = new Date(mirrors.clock.now.getTime() + 6 * day);
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'second' });
    mirrors.clock.now = new Date(mirrors.clock.now.getTime() + day);
    await mirrors.hour();
    expect(await vault.readMetadata(path)).toBeUndefined();
    expect(kinds()).toEqual([
      expect.objectContaining({ kind: 'mirror-orphaned', path, secret: path, outcome: 'repaired' }),
    ]);
  });

  it('stays for one that is restored', async () => {
    await mirrors.sync(arn);
    await mirrors.engine.DeleteSecret({ SecretId: arn, RecoveryWindowInDays: 7 });
    await mirrors.hour();
    await mirrors.engine.RestoreSecret({ SecretId: arn });
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
    expect(await versionOf()).toBe(1);
    expect(mirrors.events).toEqual([]);
  });

  it('makes room at once for a new secret of the same name', async () => {
    await mirrors.sync(arn);
    await mirrors.engine.DeleteSecret({ SecretId: arn, ForceDeleteWithoutRecovery: true });
    const again = await mirrors.secret(path);
    expect(again).not.toBe(arn);
    await mirrors.hour();
    expect((await vault.readMetadata(path))?.custom.keyturn_secret).toBe(again);
  });

  it("stays where it is another account's, or nobody's", async () => {
    const other = `agents/a${agents}/other`;
    await vault.writeCustomMetadata(other, {
      keyturn_secret: `arn:aws:secretsmanager:us-east-1:999999999999:secret:${other}-a1B2c3`,
    });
    await vault.writeData(other, { kept: true }, 0);
    await vault.writeData(`agents/a${agents}/nobodys`, { kept: true }, 0);
    await mirrors.hour();
    expect(await held(other)).toEqual({ kept: true });
    expect(await held(`agents/a${agents}/nobodys`)).toEqual({ kept: true });
  });

  it('goes from its old path only when it stands at the new one', async () => {
    await mirrors.sync(arn);
    const next = `agents/a${agents}/moved`;
    await vault.writeData(next, { mine: true }, 0);
    await mirrors.engine.TagResource({ SecretId: arn, Tags: [{ Key: 'keyturn:mirror', Value: next }] });
    await mirrors.hour();
    expect(await held()).toEqual({ username: 'u', password: 'first' });
    await bao.request('DELETE', `secret/metadata/${next}`);
    await mirrors.hour();
    expect(await held(next)).toEqual({ username: 'u', password: 'first' });
    expect(await vault.readMetadata(path)).toBeUndefined();
  });
});
