import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { OpenBao } from '../../../local/openbao/server.ts';
import type { MirrorKind } from '../../../shared/reconciliation/mirrors/mirror-finding.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { unwatched } from '../../integration/reconciliation/fleet.ts';
import {
  isWrite,
  type Mirrors,
  mirrorsIn,
  vaultForMirrors,
} from '../../integration/reconciliation/mirror-setting.ts';
import { alertsOf } from './alerts-of-findings.ts';
import { matrixOf, type Trial } from './matrix.ts';

let bao: OpenBao;
let vault: Vault;
beforeAll(async () => {
  ({ bao, vault } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

interface Drift {
  readonly what: string;
  readonly kind: MirrorKind;
  /** Calls that a run is known to make for it. */
  readonly least: number;
  /** How many it may take. */
  readonly runs?: number;
  /** Causes it, for a secret of this name. */
  arrange(mirrors: Mirrors, name: string): Promise<unknown>;
  /** What Vault is to hold in the end, by path. */
  readonly ends: (name: string) => Readonly<Record<string, object>>;
}

const [first, second] = ['first', 'second'].map((password) => ({ username: 'u', password }));

async function mirrored(mirrors: Mirrors, name: string, tags = {}): Promise<string> {
  const arn = await mirrors.secret(name, tags);
  await mirrors.sync(arn);
  return arn;
}

const drifts: readonly Drift[] = [
  {
    what: 'a mirror that is missing',
    kind: 'mirror-missing',
    least: 12,
    arrange: (mirrors, name) => mirrors.secret(name),
    ends: (name) => ({ [name]: first ?? {} }),
  },
  {
    what: 'a mirror that is behind',
    kind: 'mirror-behind',
    least: 12,
    arrange: async (mirrors, name) => mirrors.put(await mirrored(mirrors, name), 'second'),
    ends: (name) => ({ [name]: second ?? {} }),
  },
  {
    what: 'a mirror that somebody changed',
    kind: 'mirror-changed-by-hand',
    least: 12,
    async arrange(mirrors, name) {
      await mirrored(mirrors, name);
      await bao.request('POST', `secret/data/${name}`, { data: { by: 'hand' } });
    },
    ends: (name) => ({ [name]: first ?? {} }),
  },
  {
    what: 'the mirror of a secret that is gone',
    kind: 'mirror-orphaned',
    least: 8,
    async arrange(mirrors, name) {
      const SecretId = await mirrored(mirrors, name);
      await mirrors.engine.DeleteSecret({ SecretId, ForceDeleteWithoutRecovery: true });
    },
    ends: () => ({}),
  },
  {
    what: 'a mirror that moved',
    kind: 'mirror-missing',
    least: 12,
    // What was is removed once the new one stands.
    runs: 2,
    async arrange(mirrors, name) {
      const SecretId = await mirrored(mirrors, name, { 'keyturn:mirror': `${name}-before` });
      await mirrors.engine.TagResource({ SecretId, Tags: [{ Key: 'keyturn:mirror', Value: name }] });
    },
    ends: (name) => ({ [name]: first ?? {} }),
  },
  {
    what: "a path that is somebody else's",
    kind: 'mirror-taken',
    least: 8,
    async arrange(mirrors, name) {
      await mirrors.secret(name);
      await bao.request('POST', `secret/data/${name}`, { data: { whose: 'somebody else' } });
    },
    ends: (name) => ({ [name]: { whose: 'somebody else' } }),
  },
];

const recoveries = ['the next run', 'a concurrent duplicate'] as const;
let count = 0;

async function reconciliation(
  { kind, runs = 1, arrange, ends }: Drift,
  recovery: (typeof recoveries)[number],
): Promise<Trial> {
  count += 1;
  const mirrors = mirrorsIn(vault);
  const folder = `agents/killed-${count}/`;
  const name = `${folder}credentials`;
  await arrange(mirrors, name);
  const alerts = alertsOf(kind, mirrors);
  const needsPerson = kind === 'mirror-taken';
  return {
    strike: (run) =>
      alerts.striking(async () => {
        const struck = run.within(() => mirrors.reconcile(run));
        if (recovery === 'a concurrent duplicate')
          await Promise.allSettled([struck, mirrors.reconcile(unwatched)]);
        await struck;
      }),
    async recover() {
      for (let run = 0; run < runs; run += 1) await mirrors.hour();
    },
    async expectWell() {
      const names = await vault.list(folder);
      const held = await Promise.all(
        names.map(async (one) => [`${folder}${one}`, (await vault.readData(`${folder}${one}`))?.data]),
      );
      expect(Object.fromEntries(held)).toEqual(ends(name));
      mirrors.calls.length = 0;
      const findings = needsPerson ? [{ kind, outcome: 'needs a person' }] : [];
      expect(await mirrors.reconcile(unwatched)).toMatchObject({ findings });
      expect(mirrors.calls.filter(isWrite), 'what is right is not written').toEqual([]);
      await alerts.expectTold({ repairs: !needsPerson });
      // The others look at all that is in Vault.
      for (const one of names) await vault.remove(`${folder}${one}`);
    },
  };
}

describe('a reconciler of mirrors that is struck at any outside call leaves what the next run heals', () => {
  const cases = matrixOf('reconcile-mirrors');
  for (const drift of drifts) {
    for (const recovery of recoveries) {
      const mayMiss = recovery === 'a concurrent duplicate';
      cases({
        what: `${drift.what}: ended by ${recovery}`,
        least: mayMiss ? 1 : drift.least,
        mayMiss,
        arrange: () => reconciliation(drift, recovery),
      });
    }
  }
});
