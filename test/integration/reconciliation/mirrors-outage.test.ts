import pMap from 'p-map';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { OpenBao } from '../../../local/openbao/server.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { VaultUnreachableError } from '../../../shared/vault/errors.ts';
import type { MirrorParts } from '../../../shared/vault/examine-mirror.ts';
import { syncMirror } from '../../../shared/vault/mirror.ts';
import { functions, ofType } from '../../unit/deployment/template.ts';
import { counted, type Mirrors, mirrorsIn, vaultForMirrors } from './mirror-setting.ts';

const secrets = 1_000;
const outageSeconds = 3_600;

/** The queue and its consumer, as they are deployed. */
const queue = z
  .object({ VisibilityTimeout: z.number(), RedrivePolicy: z.object({ maxReceiveCount: z.number() }) })
  .parse(ofType('AWS::SQS::Queue').find(([id]) => id === 'MirrorQueue')?.[1].Properties);
const [{ sqs: consumer }] = z
  .tuple([z.object({ sqs: z.object({ batchSize: z.number(), maximumConcurrency: z.number() }) })])
  .parse(functions.find(({ name }) => name === 'sync-vault-mirror')?.function.events);

let bao: OpenBao;
let up: Vault;
beforeAll(async () => {
  ({ bao, vault: up } = await vaultForMirrors());
});
afterAll(async () => bao?.[Symbol.asyncDispose]());

/** A Vault that is down for the first hour of a virtual clock, and how often it is called in each second of it. */
function outage() {
  let second = 0;
  let inFlight = 0;
  const seen = { mostAtOnce: 0, perSecond: new Map<number, number>() };
  const note = () => {
    seen.perSecond.set(second, (seen.perSecond.get(second) ?? 0) + 1);
    if (second < outageSeconds) throw new VaultUnreachableError('Vault did not answer');
    inFlight += 1;
    seen.mostAtOnce = Math.max(seen.mostAtOnce, inFlight);
  };
  return {
    vault: counted(up, [], {
      before: note,
      after() {
        inFlight -= 1;
      },
    }),
    seen,
    at: (now: number) => {
      second = now;
    },
    callsIn: (from: number, until: number) =>
      [...seen.perSecond].filter(([at]) => at >= from && at < until).map(([, calls]) => calls),
  };
}

interface Message {
  readonly path: string;
  receives: number;
  visibleAt: number;
}

/** One second of the queue: as many batches as may run at a time, each a second long. */
async function deliver(messages: Message[], now: number, parts: MirrorParts): Promise<Message[]> {
  const due = messages
    .filter(({ visibleAt }) => visibleAt <= now)
    .slice(0, consumer.batchSize * consumer.maximumConcurrency);
  const failed = new Set<Message>();
  await Promise.all(
    due.map(async (message) => {
      message.receives += 1;
      try {
        await syncMirror(message.path, parts);
      } catch {
        message.visibleAt = now + queue.VisibilityTimeout;
        failed.add(message);
      }
    }),
  );
  return messages.filter((message) => !due.includes(message) || failed.has(message));
}

const history = z.object({ data: z.object({ data: z.object({ password: z.string() }) }) });

/** The values that the mirror was given, in the order of KV's versions. */
async function valuesOf(path: string): Promise<readonly number[]> {
  const versions = (await up.readMetadata(path))?.currentVersion ?? 0;
  return Promise.all(
    Array.from({ length: versions }, async (_, index) => {
      const version = await bao.request('GET', `secret/data/${path}?version=${index + 1}`);
      return Number(history.parse(version).data.data.password);
    }),
  );
}

async function changing(mirrors: Mirrors): Promise<readonly string[]> {
  return pMap(
    Array.from({ length: secrets }, (_, index) => `agents/o${index}/credentials`),
    async (path) => {
      await mirrors.secret(path);
      await mirrors.engine.PutSecretValue({ SecretId: path, SecretString: '{"password":"1"}' });
      await mirrors.sync(path);
      return path;
    },
    { concurrency: 20 },
  );
}

describe('while Vault is down for an hour and a thousand secrets change', () => {
  it('nothing is lost, versions come in order, and it catches up without a stampede', async () => {
    const mirrors = mirrorsIn(up);
    const all = await changing(mirrors);
    const vault = outage();
    const parts = { ...mirrors.parts, vault: vault.vault };
    let messages: Message[] = [];
    let deadLetters = 0;
    const changes = new Map<number, string[]>();
    // A hundred at its beginning, whose messages are given up before it ends; the others later; every tenth twice.
    for (const [index, path] of all.entries()) {
      const first = index % 10 === 0 ? index / 10 : 2_700 + (index % 890);
      for (const second of index % 10 === 0 ? [first, 3_590] : [first]) {
        changes.set(second, [...(changes.get(second) ?? []), path]);
      }
    }
    const counts = new Map<string, number>();
    const begin = mirrors.clock.now.getTime();
    for (let second = 0; second < outageSeconds || messages.length > 0; second += 1) {
      vault.at(second);
      mirrors.clock.now = new Date(begin + second * 1_000);
      for (const path of changes.get(second) ?? []) {
        const count = (counts.get(path) ?? 1) + 1;
        counts.set(path, count);
        await mirrors.engine.PutSecretValue({ SecretId: path, SecretString: `{"password":"${count}"}` });
        messages.push({ path, receives: 0, visibleAt: second });
      }
      messages = await deliver(messages, second, parts);
      const alive = messages.filter(({ receives }) => receives < queue.RedrivePolicy.maxReceiveCount);
      deadLetters += messages.length - alive.length;
      messages = alive;
      // An hourly run in the midst of it gives up after a few calls.
      if (second === 1_801) {
        const before = vault.seen.perSecond.get(second) ?? 0;
        expect(await mirrors.ask({ action: 'reconcile' }, { vault: vault.vault })).toMatchObject({
          isVaultDown: true,
          isFinished: false,
          findings: [],
        });
        expect((vault.seen.perSecond.get(second) ?? 0) - before).toBeLessThanOrEqual(15);
      }
    }
    const perSecond = vault.callsIn(outageSeconds, Number.POSITIVE_INFINITY);
    // Three calls a mirror.
    expect(Math.max(...perSecond)).toBeLessThanOrEqual(consumer.batchSize * consumer.maximumConcurrency * 3);
    expect(Math.max(...vault.callsIn(0, outageSeconds))).toBeLessThanOrEqual(50);
    expect(vault.seen.mostAtOnce).toBeLessThanOrEqual(consumer.batchSize * consumer.maximumConcurrency);
    expect(deadLetters).toBeGreaterThan(0);

    await mirrors.hour();
    expect(await mirrors.ask({ action: 'reconcile', dryRun: true })).toMatchObject({
      checked: secrets,
      isFinished: true,
      findings: [],
    });
    const told = mirrors.alerts.filter(({ state }) => state === 'found');
    expect(told.length).toBeLessThanOrEqual(1);
    // All hold what their secrets hold. How they came there, by a part of them.
    const some = all.filter((_, index) => index % 5 === 0);
    for (const [index, given] of (await pMap(some, valuesOf, { concurrency: 20 })).entries()) {
      expect(given.at(-1)).toBe(index % 2 === 0 ? 3 : 2);
      expect(given).toEqual(given.toSorted((one, other) => one - other));
    }
  }, 150_000);
});
