import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { root } from '../../local/root.ts';
import type { Engine } from '../../local/secrets-manager/engine.ts';
import { closed, isFailed, opened, startSetting } from './deliveries.ts';
import { type Agent, type Setting, scenarios } from './scenarios.ts';

const parts = new AsyncDisposableStack();
let setting: Setting;
beforeAll(async () => {
  setting = await startSetting(parts);
});
afterAll(() => parts.disposeAsync());

/** What there is that wasn't there before the first event. */
interface Effect {
  /** Of secrets, with a value. */
  readonly versions?: number;
  readonly schedules?: number;
  readonly alerts?: number;
  /** Different ones: agents take one that they know for nothing. */
  readonly invalidations?: number;
  /** Different ones, but for the time at which they were published. */
  readonly events?: number;
  /** Versions of the agent's mirror. */
  readonly mirror?: number;
  /** Logins that let nobody in any more. */
  readonly revoked?: number;
  /** Items of the state table. */
  readonly kept?: number;
}

interface Attacked {
  /** Which of the scenario's events is repeated. */
  readonly event: number;
  readonly effect: Effect;
  /** The most calls that one of them makes, in a flood too. */
  readonly calls: number;
  /** What is said oftener in a flood. */
  readonly repeats?: readonly (keyof Effect)[];
  /** What is amiss before the first. */
  readonly given?: (engine: Engine) => Promise<unknown>;
}

/** How often each is repeated, and how many are delivered at once. */
const times = 100;

const attacked: Readonly<Record<string, Attacked>> = {
  'rotate-secret': { event: 0, effect: { versions: 1, events: 1 }, calls: 10 },
  'announce-rotation': { event: 0, effect: { schedules: 1, events: 1 }, calls: 4 },
  'invalidate-caches': { event: 0, effect: { invalidations: 1 }, calls: 3 },
  'sync-vault-mirror': { event: 0, effect: { mirror: 1 }, calls: 10 },
  'revoke-superseded': { event: 0, effect: { revoked: 1, events: 1 }, calls: 16 },
  'alert-rotation-failure': { event: 0, effect: { alerts: 1, kept: 1 }, calls: 5 },
  // Secrets Manager, Vault and the server whose login is refused.
  'check-backend-health': {
    event: 0,
    effect: { alerts: 1, kept: 3 },
    calls: 30,
    given: (engine) =>
      engine.PutSecretValue({ SecretId: 'keyturn/admin/postgres', SecretString: '{"engine":"postgres"}' }),
  },
  // Two kinds of findings, each told of once and once when there is none any more.
  'reconcile-fleet': {
    event: 1,
    effect: { versions: 1, alerts: 4, events: 4, kept: 2, revoked: 1 },
    calls: 100,
    // Runs at the same time each publish what they find. Consumers go by ids; on-call is told once.
    repeats: ['events'],
  },
  'reconcile-mirrors': {
    event: 0,
    effect: { alerts: 2, events: 1, kept: 1, mirror: 1 },
    calls: 60,
  },
  'record-adoption': { event: 0, effect: { kept: 1 }, calls: 1 },
};

/** What differs between two calls that say the same: when they were made. */
const words = (text: string) => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '');

async function standing(engine: Engine, agent: Agent) {
  const { account } = setting.deployment;
  const { SecretList = [] } = await engine.ListSecrets({});
  let versions = 0;
  for (const { ARN: SecretId = '' } of SecretList) {
    const { Versions = [] } = await engine.ListSecretVersionIds({ SecretId, IncludeDeprecated: true });
    for (const { VersionId = '' } of Versions)
      versions += await engine.GetSecretValue({ SecretId, VersionId }).then(
        () => 1,
        () => 0,
      );
  }
  const published = account.calls.filter(({ operation }) => operation === 'Publish');
  const bodyOf = (text: string) => text.slice(text.lastIndexOf('} ') + 2);
  const isAlert = (text: string) => text.includes('%3Aalerts');
  const logins = await setting.server.query(
    `SELECT rolname FROM pg_roles WHERE rolname ~ '^${agent.id}_' AND NOT rolcanlogin`,
  );
  const mirror = z
    .object({ data: z.object({ current_version: z.number() }) })
    .safeParse(await setting.vault('GET', `secret/metadata/${agent.name}`).catch(() => undefined));
  return {
    versions,
    schedules: account.schedules.size,
    alerts: published.filter(({ text }) => isAlert(text)).length,
    invalidations: new Set(published.flatMap(({ text }) => (isAlert(text) ? [] : bodyOf(text)))).size,
    events: new Set(
      account.calls.flatMap(({ operation, text }) =>
        operation === 'PutEvents' ? words(text.slice(text.indexOf('{"Entries"'))) : [],
      ),
    ).size,
    mirror: mirror.data?.data.current_version ?? 0,
    revoked: logins.length,
    kept: account.table.size,
  };
}

async function attackedFunction(name: string) {
  const { account } = setting.deployment;
  const { engine, agent, events } = (await scenarios[name]?.(setting)) ?? {};
  const how = attacked[name];
  if (!engine || !agent || !events || !how) throw new Error(`${name} has no case`);
  account.reset({ engine });
  await how.given?.(engine);
  const run = await setting.deployment.start(name);
  const event = opened(events[how.event]);
  const before = await standing(engine, agent);
  return {
    account,
    engine,
    how,
    event,
    deliver: (...all: readonly unknown[]) => run(closed(name, ...all)),
    async effect(): Promise<Effect> {
      await engine.idle();
      const after = Object.entries(await standing(engine, agent));
      const from = new Map(Object.entries(before));
      return Object.fromEntries(
        after.flatMap(([what, count]) => {
          const more = count - (from.get(what) ?? 0);
          return more === 0 ? [] : [[what, more]];
        }),
      );
    },
  };
}

const names = readdirSync(join(root, 'functions'));

it('every function of the deployment has its case here', () => {
  expect(Object.keys(attacked).sort()).toEqual(names.toSorted());
});

describe.each(names)('%s', (name) => {
  it('replayed: it has its effect once', async () => {
    const { event, deliver, effect, how } = await attackedFunction(name);
    for (let time = 0; time < times; time += 1) expect(isFailed(await deliver(event))).toBe(false);
    expect(await effect()).toEqual(how.effect);
  });

  it('in a flood: it has its effect once, makes no more calls for each, and the next one is well', async () => {
    const { event, deliver, effect, how, account } = await attackedFunction(name);
    // A queue gives ten at a time.
    const batch = name === 'sync-vault-mirror' ? 10 : 1;
    await Promise.all(Array.from({ length: times / batch }, () => deliver(...new Array(batch).fill(event))));
    expect(account.calls.length).toBeLessThanOrEqual(times * how.calls);
    expect(isFailed(await deliver(event))).toBe(false);
    const oftener = (how.repeats ?? []).map((what) => [what, expect.any(Number)]);
    expect(await effect()).toEqual({ ...how.effect, ...Object.fromEntries(oftener) });
    for (const item of account.table.values()) expect(JSON.stringify(item).length).toBeLessThan(2_000);
  });
});
