import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exit } from '../../../cli/exit.ts';
import type { OpenBao } from '../../../local/openbao/server.ts';
import type { MirrorKind } from '../../../shared/reconciliation/mirrors/mirror-finding.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { type Mirrors, mirrorsIn, vaultForMirrors } from './mirror-setting.ts';

let bao: OpenBao;
let vault: Vault;
beforeAll(async () => {
  ({ bao, vault } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

interface Case {
  readonly kind: MirrorKind;
  /** Makes it drift; the secret is mirrored under its own name. */
  readonly cause: (mirrors: Mirrors, arn: string, path: string) => Promise<unknown>;
  readonly endsAs?: 'removed';
}

const needsPerson: readonly MirrorKind[] = ['mirror-changed-by-hand', 'mirror-taken', 'mirror-impossible'];
const quarantine = [{ Key: 'keyturn:mirror-policy', Value: 'quarantine' }];
const cases: readonly Case[] = [
  { kind: 'mirror-missing', cause: (_, __, path) => bao.request('DELETE', `secret/metadata/${path}`) },
  { kind: 'mirror-behind', cause: (mirrors, arn) => mirrors.put(arn, 'second') },
  {
    kind: 'mirror-ahead',
    cause: async (mirrors, arn) => {
      const { VersionId: first } = await mirrors.engine.GetSecretValue({ SecretId: arn });
      const second = await mirrors.put(arn, 'second');
      await mirrors.sync(arn);
      await mirrors.engine.UpdateSecretVersionStage({
        SecretId: arn,
        VersionStage: 'AWSCURRENT',
        MoveToVersionId: first,
        RemoveFromVersionId: second,
      });
    },
  },
  {
    kind: 'mirror-changed-by-hand',
    cause: async (mirrors, arn, path) => {
      await mirrors.engine.TagResource({ SecretId: arn, Tags: quarantine });
      await bao.request('POST', `secret/data/${path}`, { data: { by: 'hand' } });
    },
  },
  {
    kind: 'mirror-orphaned',
    cause: (mirrors, arn) => mirrors.engine.DeleteSecret({ SecretId: arn, ForceDeleteWithoutRecovery: true }),
    endsAs: 'removed',
  },
  {
    kind: 'mirror-taken',
    cause: async (_, __, path) => {
      await bao.request('DELETE', `secret/metadata/${path}`);
      await bao.request('POST', `secret/data/${path}`, { data: { mine: true } });
    },
  },
  {
    kind: 'mirror-impossible',
    cause: (mirrors, arn) =>
      mirrors.engine.TagResource({ SecretId: arn, Tags: [{ Key: 'keyturn:mirror', Value: 'elsewhere' }] }),
  },
];

describe('the runbook page', () => {
  it.each(cases)(
    'of $kind is what its alert names, and its commands mend it',
    async ({ kind, cause, endsAs }) => {
      const mirrors = mirrorsIn(vault);
      const path = `agents/${kind}/credentials`;
      const arn = await mirrors.secret(path);
      await mirrors.sync(arn);
      await cause(mirrors, arn, path);

      // What the hour heals by itself, the page's command heals at once.
      if (needsPerson.includes(kind)) await mirrors.hour();
      expect(await mirrors.follow(kind, path, bao)).toBe(exit.done);
      const alerts = () => mirrors.alerts.filter(({ backend }) => backend === `finding:${kind}`);
      expect(alerts()[0]).toMatchObject({
        state: 'found',
        runbook: `https://runbook.example/${kind}.md`,
      });
      if (endsAs === 'removed') expect(await vault.readMetadata(path)).toBeUndefined();
      else {
        const { SecretString = '' } = await mirrors.engine.GetSecretValue({ SecretId: arn });
        expect((await vault.readData(path))?.data).toEqual(JSON.parse(SecretString));
      }
      await mirrors.hour();
      expect(alerts().map(({ state }) => state)).toEqual(['found', 'recovered']);
    },
  );
});

describe('keyturn drift', () => {
  it('without --repair shows what differs, writes nothing, and tells nobody', async () => {
    const mirrors = mirrorsIn(vault);
    await mirrors.secret('agents/looked-at/credentials');
    const report = await mirrors.ask({ action: 'reconcile', dryRun: true });
    expect(report).toMatchObject({
      isFinished: true,
      findings: [{ kind: 'mirror-missing', outcome: 'waiting' }],
    });
    expect(await vault.readMetadata('agents/looked-at/credentials')).toBeUndefined();
    expect(mirrors.alerts).toEqual([]);
  });
});
