import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { rotationFailed } from '../../../events/rotation-failed/event.ts';
import { mirrorAppRole } from '../../../local/openbao/approle.ts';
import { startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import type { Engine } from '../../../local/secrets-manager/engine.ts';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { eventBus } from '../../../shared/notification/event-bus.ts';
import { deploy, type Outcome } from '../../attacks/deployment.ts';
import { canaries, type Setting, scenarios } from '../../attacks/scenarios.ts';
import { type Microburst, startMicroburst } from '../../integration/microburst.ts';
import { asAgent, postgresForTests } from '../../integration/rotation/setting.ts';

const parts = new AsyncDisposableStack();
let setting: Setting;
let aws: Microburst;
let bus: Awaited<ReturnType<typeof startBus>>;

beforeAll(async () => {
  const server = parts.use(await postgresForTests());
  await server.query(`CREATE ROLE boss SUPERUSER LOGIN PASSWORD ${pg.escapeLiteral(canaries.admin)}`);
  const logs = mkdtempSync(join(tmpdir(), 'keyturn-environment-'));
  const bao = parts.use(
    await startOpenBao({ port: await freePort({ next: true }), logFile: join(logs, 'bao.log') }),
  );
  const appRole = await mirrorAppRole(bao);
  const deployment = parts.use(await deploy({ vaultUrl: bao.url }));
  const { url: upstream } = deployment.account;
  aws = parts.use(
    await startMicroburst({ port: await freePort(), upstream, logFile: join(logs, 'microburst.log') }),
  );
  bus = parts.use(await startBus());
  vi.stubEnv('AWS_ENDPOINT_URL', aws.url);
  vi.stubEnv('AWS_ENDPOINT_URL_EVENTBRIDGE', bus.url);
  setting = { deployment, server, appRole, vault: bao.request };
});
afterAll(() => parts.disposeAsync());
afterEach(async () => {
  vi.useRealTimers();
  bus.refuses = false;
  await aws.inject([]);
});

const putEvents = z.object({ Entries: z.array(z.object({ DetailType: z.string(), Detail: z.string() })) });
type Entry = z.output<typeof putEvents>['Entries'][number];

/** EventBridge, which takes every call, and while it `refuses` not the last entry of each. */
async function startBus() {
  const taken: Entry[] = [];
  const state = { refuses: false };
  const server = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(z.instanceof(Uint8Array).parse(chunk));
    const { Entries } = putEvents.parse(JSON.parse(Buffer.concat(chunks).toString()));
    const refused = state.refuses ? 1 : 0;
    taken.push(...Entries.slice(0, Entries.length - refused));
    const answers = Entries.map((_, index) =>
      index < Entries.length - refused
        ? { EventId: String(index) }
        : { ErrorCode: 'InternalFailure', ErrorMessage: 'Unexpected failure' },
    );
    const body = { FailedEntryCount: refused, Entries: answers };
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = z.object({ port: z.number() }).parse(server.address());
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}`,
    taken,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  });
}

/** A function of the deployment, started cold, in the midst of what it is for. */
async function startedFor(name: string) {
  const scenario = await scenarios[name]?.(setting);
  if (!scenario) throw new Error(`${name} has no scenario`);
  const { account } = setting.deployment;
  account.reset({ engine: scenario.engine });
  bus.taken.length = 0;
  const run = await setting.deployment.start(name);
  return {
    ...scenario,
    account,
    run,
    published: () => account.calls.filter(({ operation }) => operation === 'Publish').length,
    told: () => bus.taken.map(({ DetailType }) => DetailType),
  };
}

const later = (ms: number) => vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms });
const minuteMs = 60_000;

describe.each([
  ['refuses the alert', 'AuthorizationError', 403],
  ['throttles the alert', 'Throttled', 429],
  ['fails', 'InternalError', 500],
] as const)('while SNS %s', (_, code, status) => {
  const refuse = () => aws.inject([{ service: 'sns', error: { code, status, message: 'canary' } }]);

  test('of a failed rotation, the alert is kept, and sent once with the repeat of the delivery', async () => {
    const { events, run, published } = await startedFor('alert-rotation-failure');
    await refuse();
    expect(await run(events[0])).toHaveProperty('error');
    expect(await aws.fired()).toBeGreaterThan(0);
    expect(published()).toBe(0);
    await aws.inject([]);
    later(minuteMs);
    expect(await run(events[0])).not.toHaveProperty('error');
    expect(await run(events[0])).not.toHaveProperty('error');
    expect(published()).toBe(1);
  });

  test('of a backend that is down, the alert is kept, and sent once with the next run', async () => {
    const { engine, events, run, published } = await startedFor('check-backend-health');
    await engine.PutSecretValue({
      SecretId: 'keyturn/admin/postgres',
      SecretString: JSON.stringify({
        engine: 'postgres',
        host: '127.0.0.1',
        port: setting.server.port,
        username: 'boss',
        password: 'wrong',
        ssl: false,
      }),
    });
    await refuse();
    expect(await run(events[0])).toMatchObject({ error: { name: 'HealthNotRecordedError' } });
    expect(published()).toBe(0);
    await aws.inject([]);
    for (const id of ['next', 'one-more']) {
      later(minuteMs);
      expect(await run({ id })).not.toHaveProperty('error');
    }
    expect(published()).toBe(1);
  });

  test('of a mirror that somebody changed, the mirror is whole, and the alert is sent once with the next run', async () => {
    const { agent, engine, events, run, account, published } = await startedFor('reconcile-mirrors');
    await refuse();
    await run(events[0]);
    expect(published()).toBe(0);
    const { SecretString = '' } = await engine.GetSecretValue({ SecretId: agent.arn });
    expect(await setting.vault('GET', `secret/data/${agent.name}`)).toMatchObject({
      data: { data: JSON.parse(SecretString) },
    });
    await aws.inject([]);
    later(60 * minuteMs);
    expect(await run(events[0])).not.toHaveProperty('error');
    const alerts = account.calls.filter(({ operation }) => operation === 'Publish');
    expect(alerts.filter(({ text }) => text.includes('found'))).toHaveLength(1);
  });

  test('the invalidation of caches goes out with the repeat of the delivery', async () => {
    const { events, run, published } = await startedFor('invalidate-caches');
    await refuse();
    expect(await run(events[0])).toHaveProperty('error');
    await aws.inject([]);
    expect(await run(events[0])).not.toHaveProperty('error');
    expect(published()).toBe(1);
  });
});

describe('while EventBridge fails in part (FailedEntryCount > 0)', () => {
  test('an event of twelve that is refused fails the call, and the repeat leaves none out', async () => {
    await startedFor('announce-rotation');
    const client = new EventBridgeClient({
      region: 'eu-central-1',
      endpoint: bus.url,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    const names = Array.from({ length: 12 }, (_, index) => `Event ${index}`);
    const publish = () =>
      eventBus(client, 'keyturn').publish(
        names.map((detailType) => ({ source: 'keyturn', detailType, detail: {} })),
      );
    bus.refuses = true;
    await expect(publish()).rejects.toMatchObject({ name: 'EventsRefusedError' });
    bus.refuses = false;
    await publish();
    expect(new Set(bus.taken.map(({ DetailType }) => DetailType))).toEqual(new Set(names));
  });

  test('announce-rotation fails, with its schedule made, and its repeat tells of the rotation', async () => {
    const { events, run, account, told } = await startedFor('announce-rotation');
    bus.refuses = true;
    expect(await run(events[0])).toMatchObject({
      error: { name: 'EventsRefusedError', codes: ['InternalFailure'] },
    });
    expect(account.schedules.size).toBe(1);
    expect(told()).toEqual([]);
    bus.refuses = false;
    expect(await run(events[0])).not.toHaveProperty('error');
    expect(account.schedules.size).toBe(1);
    expect(told()).toEqual(['Secret Rotated']);
  });

  test('revoke-superseded fails, and its repeat tells of the revocation', async () => {
    const { events, run, told } = await startedFor('revoke-superseded');
    bus.refuses = true;
    expect(await run(events[0])).toMatchObject({ error: { name: 'EventsRefusedError' } });
    bus.refuses = false;
    expect(await run(events[0])).not.toHaveProperty('error');
    expect(told()).toEqual(['Credential Revoked']);
  });

  test('a step that fails says why it failed, not that nobody could be told', async () => {
    const { engine, events, run, told } = await startedFor('rotate-secret');
    await engine.DeleteSecret({ SecretId: 'keyturn/admin/postgres', ForceDeleteWithoutRecovery: true });
    bus.refuses = true;
    await run(events[0]);
    const { error: whileRefused } = await run(events[1]);
    bus.refuses = false;
    const { error } = await run(events[1]);
    expect(error).toBeInstanceOf(Error);
    expect(whileRefused).toMatchObject({ name: error instanceof Error ? error.name : '' });
    expect(told()).toEqual(['Rotation Failed']);
  });
});

describe.each([
  ['5 minutes fast', -5],
  ['5 minutes slow', 5],
] as const)('while the clock of a function is %s', (_, theirs) => {
  test('a failed rotation is dated by AWS, so that the success before it or after it is not mistaken', async () => {
    const { events, run } = await startedFor('rotate-secret');
    const offsetMs = theirs * minuteMs;
    const awsDate = new Date(Date.now() + offsetMs).toUTCString();
    await aws.inject([
      { service: 'secretsmanager', operation: 'PutSecretValue', error: { code: 'EncryptionFailure' } },
      { service: 'secretsmanager', response: { set_headers: { Date: awsDate } } },
    ]);
    expect(await run(events[0])).toHaveProperty('error');
    const [entry] = bus.taken;
    const { failedAt } = rotationFailed.schema.shape.detail.parse(JSON.parse(entry?.Detail ?? '{}'));
    expect(Math.abs(Date.parse(failedAt) - Date.parse(awsDate))).toBeLessThan(minuteMs);
  });
});

/** The engine, whose reads show the labels as they were just before AWSCURRENT moved. */
function lagging(engine: Engine): Engine {
  const then = (stages: readonly string[]) =>
    stages.flatMap((stage) =>
      stage === 'AWSCURRENT' ? 'AWSPENDING' : stage === 'AWSPREVIOUS' ? 'AWSCURRENT' : [],
    );
  return {
    ...engine,
    async DescribeSecret(request) {
      const answer = await engine.DescribeSecret(request);
      const labelled = Object.entries(answer.VersionIdsToStages ?? {});
      return {
        ...answer,
        VersionIdsToStages: Object.fromEntries(labelled.map(([id, stages]) => [id, then(stages)])),
      };
    },
    async ListSecretVersionIds(request) {
      const answer = await engine.ListSecretVersionIds(request);
      return {
        ...answer,
        Versions: answer.Versions.map((version) => ({
          ...version,
          VersionStages: then(version.VersionStages ?? []),
        })),
      };
    },
    async GetSecretValue(request) {
      const { SecretId, VersionId, VersionStage = 'AWSCURRENT' } = request;
      const shows = VersionId === undefined && VersionStage === 'AWSCURRENT' && SecretId.includes('agents/');
      return engine.GetSecretValue(shows ? { ...request, VersionStage: 'AWSPREVIOUS' } : request);
    },
  };
}

const refused = ({ answer, error }: Outcome) =>
  error !== undefined || JSON.stringify(answer ?? null).includes('itemIdentifier');

describe('while reads show the labels of up to 5 s ago', () => {
  test.each(['announce-rotation', 'invalidate-caches', 'sync-vault-mirror'])(
    '%s says and writes nothing of the old version, and its repeat is of the new one',
    async (name) => {
      const { agent, engine, events, account, run, published, told } = await startedFor(name);
      const mirror = () =>
        setting.vault('GET', `secret/data/${agent.name}`).then(
          (answer) => JSON.stringify(answer),
          () => '',
        );
      account.reset({ engine: lagging(engine) });
      expect(refused(await run(events[0]))).toBe(true);
      expect([account.schedules.size, published(), told()]).toEqual([0, 0, []]);
      expect(await mirror()).not.toContain('password');
      account.reset({ engine });
      expect(refused(await run(events[0]))).toBe(false);
      const { SecretString = '' } = await engine.GetSecretValue({ SecretId: agent.arn });
      if (name === 'announce-rotation') expect(told()).toEqual(['Secret Rotated']);
      if (name === 'invalidate-caches') expect(published()).toBe(1);
      if (name === 'sync-vault-mirror')
        expect(JSON.parse(await mirror())).toMatchObject({ data: { data: JSON.parse(SecretString) } });
    },
  );
});

describe('an event that is duplicated', () => {
  test('announce-rotation: makes one schedule, and says the same each time', async () => {
    const { events, account, run } = await startedFor('announce-rotation');
    await Promise.all([run(events[0]), run(events[0])]);
    expect(refused(await run(events[0]))).toBe(false);
    expect(account.schedules.size).toBe(1);
    expect(new Set(bus.taken.map(({ Detail }) => Detail)).size).toBe(1);
  });

  test('alert-rotation-failure: alerts once', async () => {
    const { events, run, published } = await startedFor('alert-rotation-failure');
    await Promise.all([run(events[0]), run(events[0])]);
    await run(events[0]);
    expect(published()).toBe(1);
  });

  test('revoke-superseded: leaves the login in force alone', async () => {
    const { agent, engine, events, run } = await startedFor('revoke-superseded');
    await Promise.all([run(events[0]), run(events[0])]);
    expect(refused(await run(events[0]))).toBe(false);
    const { SecretString = '' } = await engine.GetSecretValue({ SecretId: agent.arn });
    await asAgent(SecretJson.parse(SecretValue.of(SecretString)), 'SELECT 1');
  });
});
