import { afterAll, beforeAll, describe, expect } from 'vitest';
import * as z from 'zod';
import { cacheInvalidation } from '../../../events/cache-invalidation/event.ts';
import type { GraceEnded } from '../../../events/grace-ended/event.ts';
import { graceEnded } from '../../../events/grace-ended/event.ts';
import { announceRotation } from '../../../functions/announce-rotation/announce-rotation.ts';
import { invalidateCaches } from '../../../functions/invalidate-caches/invalidate-caches.ts';
import { revokeSuperseded } from '../../../functions/revoke-superseded/revoke-superseded.ts';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import type { OutgoingEvent } from '../../../shared/notification/event-bus.ts';
import {
  type Agent,
  type Fleet,
  fleetOn,
  hourMs,
  secretsManagerOf,
  unwatched,
  type Watch,
} from '../../integration/reconciliation/fleet.ts';
import { schedulerClientOf } from '../../integration/reconciliation/scheduler.ts';
import { snsClientOf } from '../../integration/reconciliation/sns.ts';
import { isAdminSecret } from '../../integration/rotation/in-process.ts';
import { asAgent, loginOn, postgresForTests } from '../../integration/rotation/setting.ts';
import { watchPostgres } from './killer.ts';
import { matrixOf, type Trial } from './matrix.ts';

const target = 'arn:aws:lambda:eu-central-1:000000000000:function:target';
const parts = new AsyncDisposableStack();
let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = parts.use(await postgresForTests());
  parts.use(watchPostgres());
});
afterAll(() => parts.disposeAsync());

/** An agent that has just been rotated, and the events of it. */
interface Rotated {
  readonly fleet: Fleet;
  readonly agent: Agent;
  readonly first: SecretJson;
  readonly labelEvent: object;
  readonly ended: GraceEnded;
}

let count = 0;

/** `adopted`: it had its login before Keyturn, and a second rotation came before anybody revoked that. */
async function rotated({ adopted = false } = {}): Promise<Rotated> {
  count += 1;
  const fleet = fleetOn(server);
  const group = `after${count}`;
  if (adopted) await agentBefore(group);
  const agent = await fleet.addAgent(group, {}, adopted ? loginOn(server, group, 'before') : undefined);
  const first = await fleet.valueOf(agent);
  if (adopted) await fleet.rotate(agent);
  await fleet.rotate(agent);
  const labels = Object.entries(await fleet.labels(agent));
  const versionWith = (label: string) => labels.find(([, stages]) => stages.includes(label))?.[0] ?? '';
  const currentVersionId = versionWith('AWSCURRENT');
  const time = fleet.clock.now();
  return {
    fleet,
    agent,
    first,
    labelEvent: {
      version: '0',
      id: '5b2f8c1e-9d43-4f7a-b1c6-3e8a7d90f254',
      'detail-type': 'Secret Label Updated',
      source: 'aws.secretsmanager',
      account: '000000000000',
      time: `${time.toISOString().slice(0, 19)}Z`,
      region: 'eu-central-1',
      resources: [agent.arn],
      detail: { name: agent.name, labelUpdated: 'AWSCURRENT', versionId: currentVersionId },
    },
    ended: {
      secretArn: agent.arn,
      supersededVersionId: versionWith('AWSPREVIOUS'),
      currentVersionId,
      rotationId: currentVersionId,
      graceEndsAt: new Date(time.getTime() + hourMs).toISOString(),
    },
  };
}

const agentBefore = (login: string) =>
  server.query(`CREATE ROLE ${login} LOGIN PASSWORD 'before'; CREATE TABLE ${login}_orders (id int);
    ALTER TABLE ${login}_orders OWNER TO ${login}`);

const watchedBus = (events: OutgoingEvent[], { before, after }: Watch) => ({
  async publish(published: readonly OutgoingEvent[]) {
    before('PutEvents');
    events.push(...published);
    after('PutEvents');
  },
});

const recoveries = ['the same delivery', 'a concurrent duplicate', 'the reconciler alone'] as const;
type Recovery = (typeof recoveries)[number];

/** A delivery that is struck comes again, twice at the same time, or never. */
function delivered(
  recovery: Recovery,
  deliver: (watch: Watch) => Promise<unknown>,
  rest: { readonly reconcile: () => Promise<unknown>; readonly expectWell: () => Promise<void> },
): Trial {
  return {
    async strike(run) {
      const struck = run.within(() => deliver(run));
      if (recovery === 'a concurrent duplicate') await Promise.allSettled([struck, deliver(unwatched)]);
      await struck;
    },
    async recover(hasFailed) {
      if (recovery === 'the reconciler alone') return rest.reconcile();
      if (recovery === 'the same delivery') return hasFailed && deliver(unwatched);
      return Promise.all([deliver(unwatched), deliver(unwatched)]);
    },
    expectWell: rest.expectWell,
  };
}

async function announcement(recovery: Recovery): Promise<Trial> {
  const { fleet, agent, first, labelEvent, ended } = await rotated();
  const events: OutgoingEvent[] = [];
  const deliver = (watch: Watch) =>
    announceRotation(labelEvent, {
      secretsManager: secretsManagerOf(fleet.engine, watch),
      scheduler: schedulerClientOf(fleet.scheduler, watch),
      bus: {
        async publish(published) {
          expect(fleet.scheduler.size, 'schedules before anybody is told').toBe(1);
          await watchedBus(events, watch).publish(published);
        },
      },
      schedule: { groupName: 'grace', targetArn: target, roleArn: target, deadLetterArn: target },
      log: { debug: () => undefined },
      now: fleet.clock.now,
    });
  return delivered(recovery, deliver, {
    async reconcile() {
      fleet.clock.advance(0.5 * hourMs);
      await fleet.reconcile();
    },
    async expectWell() {
      expect(fleet.scheduler.size, 'schedules').toBe(1);
      const [made] = fleet.scheduler.values();
      const { Target } = z.object({ Target: z.object({ Input: z.string() }) }).parse(made);
      const { graceEndsAt, supersededVersionId } = graceEnded.parse(JSON.parse(Target.Input));
      expect(supersededVersionId).toBe(ended.supersededVersionId);
      expect(Math.abs(Date.parse(graceEndsAt) - Date.parse(ended.graceEndsAt))).toBeLessThan(2_000);
      if (recovery !== 'the reconciler alone')
        expect(new Set(events.map(({ detailType }) => detailType))).toEqual(new Set(['Secret Rotated']));
      // An event that was sent twice names the same rotation and the same end of its grace.
      expect(new Set(events.map(({ detail }) => JSON.stringify(detail))).size).toBeLessThanOrEqual(1);
      await asAgent(first, 'SELECT 1');
      await asAgent(await fleet.valueOf(agent), 'SELECT 1');
    },
  });
}

async function revocation(recovery: Recovery, { adopted = false } = {}): Promise<Trial> {
  const { fleet, agent, first, ended } = await rotated({ adopted });
  const previous = await fleet.valueOf(agent, 'AWSPREVIOUS');
  fleet.clock.advance(2 * hourMs);
  const events: OutgoingEvent[] = [];
  const deliver = (watch: Watch) =>
    revokeSuperseded(ended, {
      secretsManager: secretsManagerOf(fleet.engine, watch),
      isAdminSecret,
      bus: watchedBus(events, watch),
      log: { info: () => undefined },
      count: () => undefined,
      now: fleet.clock.now,
      pause: async () => undefined,
    });
  return delivered(recovery, deliver, {
    reconcile: () => fleet.reconcile(),
    async expectWell() {
      await expect(asAgent(previous, 'SELECT 1'), 'the superseded login').rejects.toThrow();
      await expect(asAgent(first, 'SELECT 1'), 'the first login').rejects.toThrow();
      await asAgent(await fleet.valueOf(agent), `SELECT * FROM ${agent.group}_orders`);
      if (recovery !== 'the reconciler alone') expect(events.length).toBeGreaterThan(0);
      expect((await fleet.reconcile()).findings).toEqual([]);
      expect(fleet.alerts.filter(({ state }) => state === 'found').length).toBeLessThanOrEqual(1);
    },
  });
}

async function invalidation(recovery: Recovery): Promise<Trial> {
  const { fleet, labelEvent, ended } = await rotated();
  const messages: string[] = [];
  const deliver = (watch: Watch) =>
    invalidateCaches(labelEvent, {
      secretsManager: secretsManagerOf(fleet.engine, watch),
      sns: snsClientOf(messages, watch),
      topicArn: target,
      count: () => undefined,
      log: { debug: () => undefined },
    });
  return delivered(recovery, deliver, {
    reconcile: async () => undefined,
    async expectWell() {
      const told = [...new Set(messages)].map((message) => cacheInvalidation.parse(JSON.parse(message)));
      expect(told.map(({ versionId }) => versionId)).toEqual([ended.currentVersionId]);
    },
  });
}

const handlers = {
  'announce-rotation': { arrange: announcement, least: 4, by: recoveries },
  'revoke-superseded': { arrange: (by: Recovery) => revocation(by), least: 11, by: recoveries },
  'revoke-superseded, and an adopted login that was missed': {
    arrange: (by: Recovery) => revocation(by, { adopted: true }),
    least: 13,
    by: recoveries,
  },
  // Nobody makes up for one that never comes again: the agent's cache runs out.
  'invalidate-caches': { arrange: invalidation, least: 3, by: recoveries.slice(0, 2) },
};

describe('what follows a rotation is struck at any outside call, and ends well', () => {
  const cases = matrixOf('after-rotation');
  for (const [name, { arrange, least, by }] of Object.entries(handlers)) {
    for (const recovery of by) {
      const mayMiss = recovery === 'a concurrent duplicate';
      cases({ what: `${name}: ended by ${recovery}`, least, mayMiss, arrange: () => arrange(recovery) });
    }
  }
});
