import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DisableRuleCommand, ListRulesCommand } from '@aws-sdk/client-eventbridge';
import { InvokeCommand, PutFunctionConcurrencyCommand } from '@aws-sdk/client-lambda';
import { ListSchedulesCommand } from '@aws-sdk/client-scheduler';
import { GetQueueAttributesCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { clientsOf } from '../../local/stack/clients.ts';
import { stackPorts } from '../../local/stack/ports.ts';
import { type Stack, startStack } from '../../local/stack/start.ts';
import { grantTooMuch } from '../../local/tour/drift.ts';
import { type Feed, openFeed } from '../../local/tour/feed.ts';
import { type Agent, provisionAgent } from '../../local/tour/provision.ts';
import { checkHealth, currentLogin, mirrorHolds, rotateNow, takes } from '../../local/tour/tour.ts';
import { until } from '../../local/until.ts';
import { blocksOf } from '../runbook/page.ts';
import { alarmsOf } from './alarms.ts';
import { type OnCall, onCallOf, type Ran } from './on-call.ts';

let stack: Stack;
let clients: ReturnType<typeof clientsOf>;
let feed: Feed;
let onCall: OnCall;
let alarms: ReturnType<typeof alarmsOf>;
let unsealKey: string;

beforeAll(async () => {
  stack = await startStack({
    ports: await stackPorts(undefined),
    logs: join(mkdtempSync(join(tmpdir(), 'keyturn-runbook-')), 'logs'),
    say: () => undefined,
  });
  clients = clientsOf(stack);
  feed = await openFeed(stack, clients, { event: () => undefined, alert: () => undefined });
  onCall = onCallOf(stack);
  alarms = alarmsOf(stack, clients, feed);
  unsealKey = /Unseal Key: (\S+)/.exec(readFileSync(join(stack.logs, 'openbao.log'), 'utf8'))?.[1] ?? '';
});
afterAll(async () => {
  await feed?.[Symbol.asyncDispose]();
  await stack?.[Symbol.asyncDispose]();
});

/** A test that failed leaves no Vault sealed for the others. */
afterEach(() => stack.openBao.unseal(unsealKey));

/** A message of Keyturn's own, and the page that it names. */
const told = (backend: string, state: string) =>
  until(`on-call is told that ${backend} is ${state}`, async () =>
    feed.alerts.find((alert) => alert.backend === backend && alert.state === state),
  );
const shown = (ran: readonly Ran[]) => ran.map(({ shown: each }) => each).join('\n');

/** What `keyturn doctor` prints below its table is a command line for each thing that a command can mend. */
async function doAsDoctorSays(ran: readonly Ran[], about: RegExp): Promise<void> {
  const lines = shown(ran)
    .split('\n')
    .flatMap((line) => /^[\w ]+: (aws .+)$/.exec(line)?.[1] ?? [])
    .filter((line) => about.test(line));
  expect(lines).toHaveLength(1);
  for (const line of lines) expect(await onCall.run(line)).toMatchObject({ code: 0 });
}

const throttle = (name: string) =>
  clients.lambda.send(
    new PutFunctionConcurrencyCommand({
      FunctionName: `keyturn-local-${name}`,
      ReservedConcurrentExecutions: 0,
    }),
  );

/** Somebody turns a rule off. */
async function turnOff(logicalId: string): Promise<string> {
  const { Rules = [] } = await clients.eventBridge.send(new ListRulesCommand({}));
  const Name = Rules.find((rule) => rule.Name?.includes(logicalId))?.Name ?? '';
  await clients.eventBridge.send(new DisableRuleCommand({ Name }));
  return Name;
}

async function provisioned(id: string, graceSeconds = 3_600): Promise<Agent> {
  const agent = await provisionAgent(id, stack, clients, { graceSeconds });
  await stack.secretsManager.engine.idle();
  return agent;
}

/**
 * The end of a grace period comes, and its function can't run. AWS's Scheduler calls asynchronously: Lambda goes on trying a throttled
 * function for hours, then has the queue keep the call. The local one's schedules call once and forget; its asynchronous
 * calls are tried three times and kept. So the call is made once more, as AWS's would be.
 */
async function graceEndsUnheard(versionId: string): Promise<void> {
  const { detail } = await until('the rotation is announced', async () =>
    feed.events.find(({ type, detail }) => type === 'Secret Rotated' && detail.rotationId === versionId),
  );
  await until('the schedule has called', async () => {
    const GroupName = 'keyturn-local-grace';
    const { Schedules = [] } = await clients.scheduler.send(new ListSchedulesCommand({ GroupName }));
    return !Schedules.some(({ Name }) => Name?.endsWith(versionId));
  });
  const { secretArn, supersededVersionId, currentVersionId, rotationId, graceEndsAt } = detail;
  await clients.lambda.send(
    new InvokeCommand({
      FunctionName: 'keyturn-local-revoke-superseded',
      InvocationType: 'Event',
      Payload: JSON.stringify({ secretArn, supersededVersionId, currentVersionId, rotationId, graceEndsAt }),
    }),
  );
}

describe('backend-unhealthy', () => {
  const page = 'backend-unhealthy';

  it('Vault is sealed: on-call is told, unseals it as the page says, and is told that it is over', async () => {
    await stack.openBao.seal();
    await checkHealth({ clients });
    await checkHealth({ clients });
    expect((await told('vault', 'unhealthy')).runbook).toMatch(/\/backend-unhealthy\.md$/);
    expect(shown(await onCall.follow(page, 0))).toMatch(/vault\s+unhealthy .*Vault is sealed/);
    const [status = '', unseal = ''] = blocksOf(page)[1] ?? [];
    expect((await onCall.run(status)).shown).toMatch(/Sealed\s+true/);
    // It asks for the key, which is typed.
    expect(await onCall.run(`${unseal} ${unsealKey}`)).toMatchObject({ code: 0 });

    for (let probe = 1; probe <= 3; probe += 1) await checkHealth({ clients });
    await told('vault', 'recovered');
    const [health, ...others] = await onCall.follow(page, 3);
    expect(health).toMatchObject({ code: 0, shown: expect.stringMatching(/vault\s+healthy/) });
    expect(others.map(({ code }) => code)).toEqual([0, 0]);
  });

  it("the admin's password was changed outside of its secret: the page's command puts it right", async () => {
    const admin = { host: '127.0.0.1', port: stack.postgres.port, user: 'admin', database: 'postgres' };
    const connection = new pg.Client({ ...admin, password: stack.postgres.password });
    await connection.connect();
    try {
      await connection.query("ALTER ROLE admin PASSWORD 'changed-by-hand'");
      await checkHealth({ clients });
      await checkHealth({ clients });
      expect((await told('target postgres', 'unhealthy')).runbook).toMatch(/\/backend-unhealthy\.md$/);
      expect(shown(await onCall.follow(page, 0))).toMatch(
        /target postgres\s+unhealthy .*CredentialRefusedError/,
      );
      const words = { ADMIN_SECRET: stack.adminSecretArn };
      const value = { engine: 'postgres', host: admin.host, port: admin.port, dbname: admin.database };
      const secret = { ...value, username: 'admin', ssl: false };
      const save = (password: string) =>
        writeFileSync(join(onCall.home, 'admin.json'), JSON.stringify({ ...secret, password }));
      save('changed-by-hand');
      expect(await onCall.follow(page, 2, words)).toMatchObject([{ code: 0 }]);
      for (let probe = 1; probe <= 3; probe += 1) await checkHealth({ clients });
      await told('target postgres', 'recovered');
      expect((await onCall.follow(page, 3)).map(({ code }) => code)).toEqual([0, 0, 0]);
      save(stack.postgres.password);
      await onCall.follow(page, 2, words);
    } finally {
      await connection.query(`ALTER ROLE admin PASSWORD '${stack.postgres.password}'`);
      await connection.end();
    }
  });
});

it('dead-letters: a throttled function gave up the end of a grace period, which keyturn redrive makes up for', async () => {
  const page = 'dead-letters';
  const agent = await provisioned('throttled', 1);
  const superseded = await currentLogin({ clients }, agent);
  await throttle('revoke-superseded');
  const versionId = await rotateNow({ clients }, agent);
  await graceEndsUnheard(versionId);
  const alarm = await until('a delivery is given up', async () => {
    const said = await alarms.ofQueue('dead-letters');
    return said.startsWith('ALARM') && said;
  });
  expect(alarm).toBe('ALARM dead-letters');
  expect(await takes({ stack }, superseded)).toBe(true);

  // Whoever begins with the last command loses nothing.
  expect(await onCall.run('keyturn redrive')).toMatchObject({
    code: 3,
    shown: expect.stringMatching(/revoke-superseded\s+RetriesExhausted\s+kept\s+TooManyRequestsException/),
  });
  const found = await onCall.follow(page, 0);
  expect(shown(found)).toMatch(/deliveries given up: 1 \(DeadLetters\)/);
  expect(shown(found)).toMatch(/revoke-superseded may not run/);
  await doAsDoctorSays(found, /delete-function-concurrency .*revoke-superseded/);
  const [redriven, reconciled] = await onCall.follow(page, 1);
  expect(redriven).toMatchObject({
    code: 0,
    shown: expect.stringMatching(/revoke-superseded\s+RetriesExhausted\s+delivered/),
  });
  expect(reconciled).toMatchObject({ code: 0, shown: expect.stringContaining('0 finding(s)') });
  expect(await takes({ stack }, superseded)).toBe(false);
  expect(await takes({ stack }, await currentLogin({ clients }, agent))).toBe(true);
  expect(await alarms.ofQueue('dead-letters')).toBe('OK dead-letters');
});

it('mirror-dead-letters: a mirror that Vault could not take for an hour follows after keyturn redrive', async () => {
  const page = 'mirror-dead-letters';
  const agent = await provisioned('unwritten');
  const queue = { QueueUrl: `${stack.endpoint}/000000000000/keyturn-local-mirror` };
  const { Attributes = {} } = await clients.sqs.send(
    new GetQueueAttributesCommand({ ...queue, AttributeNames: ['VisibilityTimeout', 'RedrivePolicy'] }),
  );
  // The hour of retries is made one attempt; the queues, the function and its failure are the deployed ones.
  const RedrivePolicy = JSON.stringify({
    ...JSON.parse(Attributes.RedrivePolicy ?? '{}'),
    maxReceiveCount: 1,
  });
  await clients.sqs.send(
    new SetQueueAttributesCommand({ ...queue, Attributes: { VisibilityTimeout: '4', RedrivePolicy } }),
  );
  await stack.openBao.seal();
  const versionId = await rotateNow({ clients }, agent);
  const alarm = await until('a mirror is given up', async () => {
    const said = await alarms.ofQueue('mirror-dead-letters');
    return said.startsWith('ALARM') && said;
  });
  expect(alarm).toBe('ALARM mirror-dead-letters');

  const [doctor, log] = await onCall.follow(page, 0);
  expect(doctor?.shown).toContain('Vault is sealed');
  expect(log).toMatchObject({ code: 0, shown: expect.stringContaining('Vault') });
  await stack.openBao.unseal(unsealKey);
  await clients.sqs.send(new SetQueueAttributesCommand({ ...queue, Attributes }));
  const [redriven, drift] = await onCall.follow(page, 1);
  expect(redriven).toMatchObject({
    code: 0,
    shown: expect.stringMatching(/sync-vault-mirror\s.*delivered/),
  });
  expect(drift?.code).toBe(0);
  expect(await mirrorHolds({ stack }, agent, versionId)).toBe(true);
  expect(await alarms.ofQueue('mirror-dead-letters')).toBe('OK mirror-dead-letters');
});

it('health-check-stopped: a throttled check is found, let run again, and probes', async () => {
  const page = 'health-check-stopped';
  await throttle('check-backend-health');
  await expect(checkHealth({ clients })).rejects.toThrow(/Rate Exceeded/);
  expect(await alarms.ofInvocations('health-check-stopped', 'check-backend-health', undefined)).toBe(
    `ALARM ${page}`,
  );
  const found = await onCall.follow(page, 0);
  expect(shown(found)).toMatch(/check-backend-health may not run: its reserved concurrency is 0/);
  await doAsDoctorSays(found, /delete-function-concurrency .*check-backend-health/);
  expect(await onCall.follow(page, 1)).toMatchObject([{ code: 0 }]);
  // As its schedule does within a minute.
  await checkHealth({ clients });
  expect(shown(await onCall.follow(page, 2))).toMatch(/vault\s+\w+\s+\S+( \S+)?\s+[0-9]s ago/);
  expect(await alarms.ofInvocations('health-check-stopped', 'check-backend-health', 1)).toBe(`OK ${page}`);
});

it('reconciler-stopped: a rule that was turned off is found and turned on, and what was missed is repaired', async () => {
  const page = 'reconciler-stopped';
  const agent = await provisioned('forgotten');
  const rule = await turnOff('ReconcileFleetRule');
  expect(await alarms.ofInvocations('reconciler-stopped', 'reconcile-fleet', undefined)).toBe(
    `ALARM ${page}`,
  );
  await grantTooMuch({ stack }, agent);

  const found = await onCall.follow(page, 0);
  expect(shown(found)).toContain('the rule ReconcileFleetRule is off');
  await doAsDoctorSays(found, new RegExp(`enable-rule --name ${rule} `));
  expect(await onCall.follow(page, 1)).toMatchObject([{ code: 0 }]);
  expect(await onCall.follow(page, 2)).toMatchObject([
    { code: 0, shown: expect.stringMatching(/forgotten\S+\s+target-drifted\s+repaired/) },
  ]);
  const mayDelete = `SELECT has_table_privilege('${agent.id}', '${agent.table}', 'DELETE') AS may`;
  expect(await stack.postgres.query(mayDelete)).toEqual([{ may: false }]);
  expect(shown(await onCall.follow(page, 0))).not.toContain('is off');
  expect(await alarms.ofInvocations('reconciler-stopped', 'reconcile-fleet', 1)).toBe(`OK ${page}`);
});

it('reconcile-mirrors-stopped: a rule that was turned off is found and turned on, and a lost mirror is written', async () => {
  const page = 'reconcile-mirrors-stopped';
  const agent = await provisioned('unwatched');
  const { versionId } = await currentLogin({ clients }, agent);
  await until('the mirror is there', () => mirrorHolds({ stack }, agent, versionId));
  const rule = await turnOff('ReconcileMirrorsRule');
  expect(await alarms.ofInvocations('reconcile-mirrors-stopped', 'reconcile-mirrors', undefined)).toBe(
    `ALARM ${page}`,
  );
  await stack.openBao.request('DELETE', `secret/metadata/${agent.secret}`);

  const found = await onCall.follow(page, 0);
  expect(shown(found)).toContain('the rule ReconcileMirrorsRule is off');
  await doAsDoctorSays(found, new RegExp(`enable-rule --name ${rule} `));
  expect(await onCall.follow(page, 1)).toMatchObject([{ code: 0 }]);
  expect(await onCall.follow(page, 2)).toMatchObject([
    { code: 0, shown: expect.stringMatching(/unwatched\S+\s.*mirror-missing\s+repaired/) },
  ]);
  expect(await mirrorHolds({ stack }, agent, versionId)).toBe(true);
  expect(await alarms.ofInvocations('reconcile-mirrors-stopped', 'reconcile-mirrors', 1)).toBe(`OK ${page}`);
});

it('rotation-failed: the twin was taken, its role is renamed, and keyturn unstick takes the rotation to its end', async () => {
  const agent = await provisioned('twinless');
  await stack.postgres.query('DROP ROLE twinless_b; CREATE ROLE twinless_b LOGIN');
  const versionId = await rotateNow({ clients }, agent);
  expect(await told(`rotation:${agent.secret}`, 'failed')).toMatchObject({
    stage: 'local',
    runbook: expect.stringMatching(/\/rotation-failed\.md#alternatetakenerror$/),
  });
  await stack.secretsManager.engine.idle();
  expect(shown(await onCall.follow('rotation-failed', 0))).toContain('AlternateTakenError');
  // As the page says for AlternateTakenError.
  await stack.postgres.query('ALTER ROLE twinless_b RENAME TO somebodys');
  expect(await onCall.follow('rotation-failed', 1, { SECRET: agent.secret })).toMatchObject([{ code: 0 }]);
  expect((await currentLogin({ clients }, agent)).versionId).toBe(versionId);
  await told(`rotation:${agent.secret}`, 'recovered');
});
