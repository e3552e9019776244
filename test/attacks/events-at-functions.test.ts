import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { root } from '../../local/root.ts';
import type { OutsideCall } from './account.ts';
import { closed, isFailed, opened, startSetting } from './deliveries.ts';
import { ownSecrets } from './deployment.ts';
import { type Setting, scenarios } from './scenarios.ts';

const parts = new AsyncDisposableStack();
let setting: Setting;
beforeAll(async () => {
  setting = await startSetting(parts);
});
afterAll(() => parts.disposeAsync());

interface Attacked {
  /** Which of the scenario's events is forged. */
  readonly event: number;
  /** Told of a secret that isn't the platform's, or isn't there, it does no more than this. */
  readonly ofOthers?: readonly string[];
  /** The calls that write which it may make at all. */
  readonly writes: readonly string[];
  /** What breaks the contract ends well: an agent that publishes it is to fill no queue of dead letters. */
  readonly endsRefusals?: boolean;
}

const attacked: Readonly<Record<string, Attacked>> = {
  'rotate-secret': { event: 0, writes: ['PutSecretValue', 'PutEvents'] },
  'announce-rotation': { event: 0, writes: ['POST', 'PutEvents'] },
  'invalidate-caches': { event: 0, writes: ['Publish'] },
  'sync-vault-mirror': { event: 0, writes: ['Vault write'] },
  'revoke-superseded': { event: 0, writes: ['PutEvents', 'ALTER'] },
  // Who may say under Keyturn's name that a rotation failed is for the bus's policy: it is told, and nothing is done.
  'alert-rotation-failure': {
    event: 0,
    ofOthers: ['PutItem', 'Publish'],
    writes: ['PutItem', 'Publish'],
  },
  'check-backend-health': { event: 0, writes: ['PutItem'] },
  'reconcile-fleet': {
    event: 1,
    writes: ['Invoke', 'PutEvents', 'PutItem', 'Publish', 'POST'],
  },
  'reconcile-mirrors': {
    event: 0,
    writes: ['Vault write', 'PutEvents', 'PutItem', 'Publish'],
  },
  'record-adoption': { event: 0, writes: ['PutItem'], endsRefusals: true },
};

const reads =
  /^(Get|BatchGet|List|Describe|Scan)|^(connect|SELECT|BEGIN|COMMIT|ROLLBACK)$|^GET|auth\/approle\/login|^LIST/;
const writesOf = (calls: readonly OutsideCall[]) => calls.filter(({ operation }) => !reads.test(operation));
const kindOf = ({ service, operation }: OutsideCall) => (service === 'Vault' ? 'Vault write' : operation);

async function attackedFunction(name: string) {
  const { account } = setting.deployment;
  const { engine, agent, events } = (await scenarios[name]?.(setting)) ?? {};
  const how = attacked[name];
  if (!engine || !agent || !events || !how) throw new Error(`${name} has no case`);
  account.reset({ engine });
  const run = await setting.deployment.start(name);
  const event = z.record(z.string(), z.unknown()).parse(opened(events[how.event]));
  const deliver = async (...all: readonly unknown[]) => {
    const before = account.calls.length;
    const outcome = await run(closed(name, ...all));
    return { outcome, writes: writesOf(account.calls.slice(before)) };
  };
  return { account, engine, agent, event, events, deliver, how };
}

const forged = 'forged\u0000\n';
const values: readonly unknown[] = [
  forged,
  `forged${'x'.repeat(100_000)}`,
  4_217_653,
  { forged },
  [forged],
  null,
];

/** The event with one of its fields, at any depth, as the forger wants it. */
function* forgeries(event: Readonly<Record<string, unknown>>): Generator<[string, unknown]> {
  for (const [field, value] of Object.entries(event)) {
    for (const [index, other] of values.entries())
      yield [`${field} as ${index}`, { ...event, [field]: other }];
    const inner = z.record(z.string(), z.unknown()).safeParse(value);
    if (!inner.success) continue;
    for (const [path, changed] of forgeries(inner.data))
      yield [`${field}.${path}`, { ...event, [field]: changed }];
  }
}

const names = readdirSync(join(root, 'functions'));

it('every function of the deployment has its case here', () => {
  expect(Object.keys(attacked).sort()).toEqual(names.toSorted());
});

describe.each(names)('%s', (name) => {
  it('forged: whatever a field holds, it gets into no log and no call that writes', async () => {
    const { event, deliver, how } = await attackedFunction(name);
    setting.deployment.takePrinted();
    for (const [what, forgery] of forgeries(event)) {
      const { writes } = await deliver(forgery);
      for (const { text } of writes) expect(text, what).not.toMatch(/forged|4217653/);
      for (const write of writes) expect([...how.writes, 'PutItem', 'Publish']).toContain(kindOf(write));
      expect(setting.deployment.takePrinted(), what).not.toMatch(/forged|4217653/);
    }
  });

  it('of an unknown schema version: refused, where the event is one of ours and has a version', async () => {
    const { event, deliver, how } = await attackedFunction(name);
    const text = JSON.stringify(event);
    const other = text.replaceAll('"schemaVersion":1', '"schemaVersion":2');
    if (other === text) return expect(text).not.toContain('schemaVersion');
    setting.deployment.takePrinted();
    const { outcome, writes } = await deliver(JSON.parse(other));
    if (how.endsRefusals) {
      expect(isFailed(outcome)).toBe(false);
      expect(setting.deployment.takePrinted()).toContain('UnexpectedShapeError');
    } else expect(outcome.error).toMatchObject({ name: 'UnexpectedShapeError' });
    expect(writes).toEqual([]);
  });

  it("of another account's, another region's or no agent's secret: nothing is done to any secret", async () => {
    const { event, agent, engine, deliver, how } = await attackedFunction(name);
    const { ARN: payroll } = await engine.CreateSecret({
      Name: 'payroll/db',
      SecretString: '{"engine":"postgres"}',
    });
    const others = [
      agent.arn.replace(':000000000000:', ':999999999999:'),
      agent.arn.replace(':eu-central-1:', ':us-west-2:'),
      payroll,
      `${ownSecrets}agents/nobody/credentials-a1B2c3`,
      'arn:aws:iam::000000000000:role/admin',
    ];
    for (const arn of others) {
      const text = JSON.stringify(event);
      if (!text.includes(agent.arn)) continue;
      const { writes } = await deliver(JSON.parse(text.replaceAll(agent.arn, arn)));
      for (const write of writes) expect(how.ofOthers ?? [], arn).toContain(kindOf(write));
    }
  });

  it('a day late: it ends as it would have, or is known to be over', async () => {
    const { event, deliver, account, engine } = await attackedFunction(name);
    const late = JSON.parse(JSON.stringify(event), (_, value: unknown) =>
      typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value)
        ? new Date(Date.parse(value) - 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z')
        : value,
    );
    const { outcome } = await deliver(late);
    await engine.idle();
    expect(isFailed(outcome)).toBe(false);
    for (const schedule of account.schedules.values()) {
      const [, at = ''] = /"at\(([^)]+)\)"/.exec(schedule) ?? [];
      expect(Date.parse(`${at}Z`)).toBeGreaterThan(Date.now());
    }
  });
});

it("record-adoption ends well whatever an agent's own event says, and keeps nothing of another account, region or agent", async () => {
  const { account, agent, event, deliver } = await attackedFunction('record-adoption');
  const ofArn = (arn: string): unknown => JSON.parse(JSON.stringify(event).replaceAll(agent.arn, arn));
  const others = [
    ...[...forgeries(event)].map(([, forgery]) => forgery),
    ofArn(agent.arn.replace(':000000000000:', ':999999999999:')),
    ofArn(agent.arn.replace(':eu-central-1:', ':us-west-2:')),
    ofArn(agent.arn.replace('arn:aws:', 'arn:aws-cn:')),
    ofArn(`${ownSecrets}agents/nobody/credentials-a1B2c3`),
    { ...event, account: '999999999999' },
    { ...event, region: 'us-west-2' },
  ];
  for (const other of others) expect(isFailed((await deliver(other)).outcome)).toBe(false);
  for (const id of account.table.keys()) expect(id.startsWith(`adoption#${agent.arn}#`)).toBe(true);
});

describe('out of order: the old event after the new one', () => {
  it.each(['announce-rotation', 'invalidate-caches', 'sync-vault-mirror'])(
    '%s does nothing',
    async (name) => {
      const { event, agent, engine, deliver } = await attackedFunction(name);
      const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: agent.arn });
      const [previous = ''] =
        Object.entries(VersionIdsToStages).find(([, own]) => own.includes('AWSPREVIOUS')) ?? [];
      await deliver(event);
      const detail = z.record(z.string(), z.unknown()).parse(event.detail);
      const { outcome, writes } = await deliver({ ...event, detail: { ...detail, versionId: previous } });
      expect(isFailed(outcome)).toBe(false);
      expect(writes).toEqual([]);
    },
  );

  it('rotate-secret, asked for the last steps first, keeps AWSCURRENT', async () => {
    const { agent, engine, events, deliver } = await attackedFunction('rotate-secret');
    const before = await engine.GetSecretValue({ SecretId: agent.arn });
    for (const event of events.toReversed().slice(0, 3)) await deliver(event);
    expect((await engine.GetSecretValue({ SecretId: agent.arn })).VersionId).toBe(before.VersionId);
  });

  it('alert-rotation-failure opens no episode for a failure that a success has overtaken', async () => {
    const { account, events, deliver } = await attackedFunction('alert-rotation-failure');
    for (const event of events.toReversed()) await deliver(event);
    expect(account.calls.filter(({ operation }) => operation === 'Publish')).toEqual([]);
  });

  it('record-adoption keeps the later adoption', async () => {
    const { account, event, deliver } = await attackedFunction('record-adoption');
    await deliver(event);
    const kept = JSON.stringify([...account.table]);
    const detail = z.record(z.string(), z.unknown()).parse(event.detail);
    await deliver({
      ...event,
      detail: { ...detail, adoptedAt: '2026-01-01T00:00:00Z', versionId: crypto.randomUUID() },
    });
    expect(JSON.stringify([...account.table])).toBe(kept);
  });
});
