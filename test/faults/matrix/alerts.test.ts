import { afterAll, beforeAll, describe, expect } from 'vitest';
import * as z from 'zod';
import awsRotationFailed from '../../../events/aws-rotation-failed/sample.json' with { type: 'json' };
import rotationFailed from '../../../events/rotation-failed/sample.json' with { type: 'json' };
import secretAdopted from '../../../events/secret-adopted/sample.json' with { type: 'json' };
import secretRotated from '../../../events/secret-rotated/sample.json' with { type: 'json' };
import { alertRotationFailure } from '../../../functions/alert-rotation-failure/alert-rotation-failure.ts';
import { rotationState } from '../../../functions/alert-rotation-failure/rotation-state.ts';
import { alertMessage } from '../../../functions/check-backend-health/alert-message.ts';
import { checkHealth } from '../../../functions/check-backend-health/check-health.ts';
import { recordAdoption } from '../../../functions/record-adoption/record-adoption.ts';
import type { OpenBao } from '../../../local/openbao/server.ts';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { defaultRule } from '../../../shared/health/episode.ts';
import { alertsTo } from '../../../shared/notification/alert.ts';
import { adoptionsIn } from '../../../shared/state/adoptions.ts';
import { healthState } from '../../../shared/state/health-state.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { dynamoClientOf, type InMemoryTable } from '../../integration/reconciliation/dynamodb.ts';
import { secretsManagerOf, unwatched, type Watch } from '../../integration/reconciliation/fleet.ts';
import { counted, vaultForMirrors } from '../../integration/reconciliation/mirror-setting.ts';
import { snsClientOf } from '../../integration/reconciliation/sns.ts';
import { adminOf, loginOn, postgresForTests, type secretJson } from '../../integration/rotation/setting.ts';
import { outsideOfRuns, type Point, type Run, watchFetch, watchPostgres } from './killer.ts';
import { matrixOf, type Trial } from './matrix.ts';

const parts = new AsyncDisposableStack();
let server: Awaited<ReturnType<typeof postgresForTests>>;
let bao: OpenBao;
let vault: Vault;
beforeAll(async () => {
  server = parts.use(await postgresForTests());
  ({ bao, vault } = await vaultForMirrors());
  parts.use(bao);
  parts.use(watchPostgres());
  parts.use(watchFetch());
});
afterAll(() => parts.disposeAsync());

const minuteMs = 60_000;
const topicArn = 'arn:aws:sns:eu-central-1:000000000000:alerts';
const runbookUrl = 'https://runbook.example';
const inbox = z.object({ backend: z.string(), state: z.string() });

/** On-call's topic and the state table, under a clock. */
function onCall() {
  const messages: string[] = [];
  const table: InMemoryTable = new Map();
  let now = Date.parse('2026-11-24T10:00:00Z');
  let mayRepeat = 0;
  const owed = () =>
    [...table.values()].reduce((sum, { outbox }) => sum + z.array(z.unknown()).parse(outbox?.L).length, 0);
  return {
    messages,
    table,
    owed,
    now: () => new Date(now),
    /** Longer than a claim holds, as is Lambda's wait before it repeats an event that failed. */
    aMinuteLater() {
      now += minuteMs;
    },
    /**
     * SNS can't be asked whether it has a message. So one that it took, and that the table still owes as the run ended, is
     * sent again: that run died between the two, or never heard SNS's answer.
     */
    async striking(strike: () => Promise<unknown>) {
      const before = messages.length;
      await strike().finally(() => {
        mayRepeat = messages.length > before ? owed() : 0;
      });
    },
    /** On-call heard these, each once, and nothing waits to be sent. */
    expectHeard(struckAt: Point | undefined, ...expected: readonly string[]) {
      const heard = messages.map((message) => {
        const { backend, state } = inbox.parse(JSON.parse(message));
        return `${backend} ${state}`;
      });
      const once = heard.filter((alert, index) => alert !== heard[index - 1]);
      expect(once, 'alerts, in their order').toEqual(expected);
      // SNS's own client asked again for what SNS had done.
      const askedAgain = struckAt?.call === 'Publish' && struckAt.moment.endsWith('asked again') ? 1 : 0;
      expect(heard.length - once.length, 'alerts that came again').toBeLessThanOrEqual(
        mayRepeat + askedAgain,
      );
      expect(owed(), 'alerts that wait').toBe(0);
    },
  };
}

const recoveries = ['the same delivery', 'a later event', 'a concurrent duplicate'] as const;
type Recovery = (typeof recoveries)[number];

async function strikeBeside(recovery: Recovery, run: Run, deliver: (watch: Watch) => Promise<unknown>) {
  const struck = run.within(() => deliver(run));
  if (recovery === 'a concurrent duplicate') await Promise.allSettled([struck, deliver(unwatched)]);
  await struck;
}

const { secretArn, secret } = rotationFailed.detail;
const backend = `rotation:${secret}`;
const failedAt = (failed: string) => ({
  ...rotationFailed,
  detail: { ...rotationFailed.detail, failedAt: failed },
});
const news = {
  'a failure that rotate-secret tells of': failedAt('2026-11-24T08:00:00Z'),
  'a failure that AWS alone tells of': awsRotationFailed,
  'the success that ends an episode': secretRotated,
};

/** What on-call is told of a secret's rotations: the struck event opens an episode, or ends one. */
async function rotationAlert(what: keyof typeof news, recovery: Recovery): Promise<Trial> {
  const desk = onCall();
  const engine = createEngine({ now: desk.now, newArn: async () => secretArn });
  const Tags = [
    { Key: 'agent_id', Value: rotationFailed.detail.agentId },
    { Key: 'managed_by', Value: 'agent-platform' },
  ];
  await engine.CreateSecret({ Name: secret, SecretString: '{}', Tags });
  const hear = (event: unknown, watch: Watch = unwatched) =>
    alertRotationFailure(event, {
      secretsManager: secretsManagerOf(engine, watch),
      records: rotationState(dynamoClientOf(desk.table, watch), 'state'),
      send: alertsTo(snsClientOf(desk.messages, watch), { topicArn, stage: 'prod' }),
      runbookUrl,
      now: desk.now,
    });
  const ends = what === 'the success that ends an episode';
  if (ends) await hear(failedAt('2026-11-24T08:00:00Z'));
  const deliver = (watch: Watch) => hear(news[what], watch);
  return {
    strike: (run) => desk.striking(() => strikeBeside(recovery, run, deliver)),
    async recover(hasFailed) {
      desk.aMinuteLater();
      if (recovery === 'the same delivery') return hasFailed && deliver(unwatched);
      if (recovery === 'a concurrent duplicate') return Promise.all([deliver(unwatched), deliver(unwatched)]);
      // Lambda gives up an event after its third attempt. What the secret's next rotation comes to tells of it.
      if (!ends) return hear(failedAt('2026-11-24T08:30:00Z'));
      const { detail } = secretRotated;
      return hear({
        ...secretRotated,
        detail: { ...detail, rotationId: 'f'.repeat(32), rotatedAt: '2026-11-24T09:45:00Z' },
      });
    },
    async expectWell(struckAt) {
      if (ends) desk.expectHeard(struckAt, `${backend} failed`, `${backend} recovered`);
      else desk.expectHeard(struckAt, `${backend} failed`);
      // What comes again tells nothing, and the episode goes on as if nothing had been struck.
      await deliver(unwatched);
      if (ends) return desk.expectHeard(struckAt, `${backend} failed`, `${backend} recovered`);
      await hear(secretRotated);
      desk.expectHeard(struckAt, `${backend} failed`, `${backend} recovered`);
    },
  };
}

const run1 = 'c2a1b0d9-0000-4000-8000-00000000000';

/** A server that has begun to refuse its admin: the struck run is the one that opens the episode. */
async function health(recovery: Recovery): Promise<Trial> {
  const desk = onCall();
  const engine = createEngine({ now: desk.now });
  const { ARN } = await engine.CreateSecret({
    Name: 'keyturn/admin/orders',
    SecretString: textOfSecret(loginOn(server, 'admin', 'the wrong password')),
    Tags: [{ Key: 'keyturn:probe', Value: 'orders' }],
  });
  // The run is told of the call; the requests that it is made of are no calls beside it.
  const asked: Vault = { ...vault, lookupToken: () => outsideOfRuns(vault.lookupToken) };
  const check = (number: number, watch: Watch = unwatched) =>
    checkHealth(
      {
        secretsManager: secretsManagerOf(engine, watch),
        vault: counted(asked, [], watch),
        vaultAddress: bao.url,
      },
      {
        state: healthState(dynamoClientOf(desk.table, watch), 'state'),
        rule: defaultRule,
        send: (name, alert, signal) =>
          alertsTo(snsClientOf(desk.messages, watch), { topicArn, stage: 'prod' })(
            alertMessage(name, alert, runbookUrl),
            signal,
          ),
        now: desk.now,
        runId: `${run1}${number}`,
        deadlineMs: 8_000,
        count: () => undefined,
        log: { warn: () => undefined },
      },
    );
  await check(1);
  desk.aMinuteLater();
  const deliver = (watch: Watch) => check(2, watch);
  return {
    strike: (run) => desk.striking(() => strikeBeside(recovery, run, deliver)),
    async recover(hasFailed) {
      desk.aMinuteLater();
      // The next minute's run comes in any case.
      if (recovery === 'the same delivery') return hasFailed ? deliver(unwatched) : check(3);
      if (recovery === 'a later event') return check(3);
      return Promise.all([deliver(unwatched), deliver(unwatched)]);
    },
    async expectWell(struckAt) {
      desk.expectHeard(struckAt, 'target orders unhealthy');
      await engine.PutSecretValue({ SecretId: ARN, SecretString: textOfSecret(adminOf(server)) });
      for (const number of [4, 5, 6]) {
        desk.aMinuteLater();
        await check(number);
      }
      desk.expectHeard(struckAt, 'target orders unhealthy', 'target orders recovered');
    },
  };
}

const textOfSecret = (json: ReturnType<typeof secretJson>): string => json.serialize().reveal();

/** An instance adopts a version after it has adopted another. */
async function adoption(recovery: Recovery): Promise<Trial> {
  const table: InMemoryTable = new Map();
  const adopted = (versionId: string, adoptedAt: string, watch: Watch = unwatched) =>
    recordAdoption(
      { ...secretAdopted, time: adoptedAt, detail: { ...secretAdopted.detail, versionId, adoptedAt } },
      {
        ...adoptionsIn(dynamoClientOf(table, watch), 'state'),
        ownArns: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:',
        log: { warn: () => expect.unreachable() },
        count: () => undefined,
      },
    );
  const [first, second, third] = ['1', '2', '3'].map((digit) => digit.repeat(32));
  const early = () => adopted(first ?? '', '2026-11-24T08:00:00Z');
  await early();
  const deliver = (watch: Watch) => adopted(second ?? '', '2026-11-24T09:00:00Z', watch);
  return {
    strike: (run) => strikeBeside(recovery, run, deliver),
    async recover(hasFailed) {
      if (recovery === 'the same delivery') return hasFailed && deliver(unwatched);
      if (recovery === 'a later event') return adopted(third ?? '', '2026-11-24T10:00:00Z');
      return Promise.all([deliver(unwatched), deliver(unwatched)]);
    },
    async expectWell() {
      // What was said before comes late, and again.
      await early();
      if (recovery === 'a later event') await deliver(unwatched);
      const latest = recovery === 'a later event' ? third : second;
      expect([...table.values()].map(({ versionId }) => versionId?.S)).toEqual([latest]);
    },
  };
}

describe('what on-call and operators are told is struck at any outside call, and is told once', () => {
  const cases = matrixOf('alerts');
  const each = (name: string, least: number, arrange: (recovery: Recovery) => Promise<Trial>) => {
    for (const recovery of recoveries) {
      const mayMiss = recovery === 'a concurrent duplicate';
      cases({
        what: `${name}: ended by ${recovery}`,
        least: mayMiss ? 1 : least,
        mayMiss,
        arrange: () => arrange(recovery),
      });
    }
  };
  each('alert-rotation-failure, a failure', 5, (recovery) =>
    rotationAlert('a failure that rotate-secret tells of', recovery),
  );
  each("alert-rotation-failure, AWS's own event", 6, (recovery) =>
    rotationAlert('a failure that AWS alone tells of', recovery),
  );
  each('alert-rotation-failure, a success', 5, (recovery) =>
    rotationAlert('the success that ends an episode', recovery),
  );
  // Two reads and a write of each healthy backend, five of the table and SNS for the one that fails, and the probes.
  each('check-backend-health', 13, health);
  each('record-adoption', 1, adoption);
});
