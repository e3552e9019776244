import { findingEvent } from '../../../functions/reconcile-fleet/finding-event.ts';
import { reconcileFleet } from '../../../functions/reconcile-fleet/reconcile-fleet.ts';
import { answerMirrors } from '../../../functions/reconcile-mirrors/reconcile-mirrors.ts';
import { paced } from '../../../shared/secrets-manager/pace.ts';
import { alerted, asked } from './aws-doubles.ts';
import { invoke } from './invocation.ts';
import { lineOf } from './line.ts';
import { rotateFunctionArn, takeStep } from './rotations.ts';
import { ownClock, runOf, theirClock } from './runs.ts';
import { digest, graceSchedule, revocation } from './subscribers.ts';
import { minute } from './virtual-time.ts';
import type { World } from './world.ts';

/** Both reconcilers every quarter of an hour, for as long as there are faults. */
export function startReconcilers(world: World): void {
  let runs = 0;
  const next = () => {
    if (!world.active || !world.faults.on) return;
    runs += 1;
    reconcile(world, runs).catch(() => undefined);
    reconcileMirrors(world, runs).catch(() => undefined);
    world.time.after(15 * minute, next);
  };
  world.time.after(7 * minute, next);
}

export function reconcile(world: World, run: number) {
  const { secretsManager, scheduler, bus, records, time, trace } = world;
  const endsAt = time.now() + 900_000;
  return asReconciler(world, `reconcile/${run}`, () =>
    reconcileFleet(
      { action: 'reconcile', dryRun: false, isScheduled: true, round: 1 },
      {
        secretsManager,
        scheduler,
        schedule: graceSchedule,
        adminSecretsPrefix: 'keyturn/admin/',
        rotateFunctionArn,
        takeStep: (Step, SecretId, ClientRequestToken) =>
          asked(world, 'lambda:Invoke', () =>
            takeStep(world, { Step, SecretId, ClientRequestToken }, lineOf(world, SecretId)).then(
              () => undefined,
              (error: unknown) => (error instanceof Error ? error.name : 'Unhandled'),
            ),
          ),
        revoke: (ended) =>
          asked(world, 'lambda:Invoke', () => {
            const line = lineOf(world, ended.secretArn);
            return runOf(world, 'revoke-superseded', line, 30_000, () =>
              revocation(world, ended, line),
            ).catch((error: unknown) => ({ errorClass: error instanceof Error ? error.name : 'Unhandled' }));
          }),
        declarations: { list: async () => ({ known: [], unreadable: [] }), read: async () => undefined },
        turns: {
          write: paced(10, { now: time.now, pause: time.sleep }),
          list: paced(10, { now: time.now, pause: time.sleep }),
        },
        now: theirClock(world),
        report: {
          records: records.findings,
          bus,
          eventOf: findingEvent,
          send: () => alerted(world, () => undefined),
          runbookUrl: 'runbook',
          now: ownClock(world),
        },
        remainingMs: () => endsAt - time.now(),
        log: { warn: (_, fields) => trace?.(`reconcile/ not examined: ${JSON.stringify(fields)}`) },
      },
    ),
  );
}

export function reconcileMirrors(world: World, run: number) {
  const { secretsManager, vault, bus, records } = world;
  return asReconciler(world, `reconcile-mirrors/${run}`, () =>
    answerMirrors(
      { action: 'reconcile', dryRun: false },
      {
        secretsManager,
        vault,
        digest,
        ownArns: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/',
        report: {
          records: records.findings,
          bus,
          send: () => alerted(world, () => undefined),
          runbookUrl: 'runbook',
          now: ownClock(world),
        },
        isLate: () => false,
        pause: world.time.sleep,
        log: { info: () => undefined, warn: () => undefined },
      },
    ),
  );
}

function asReconciler<T>(world: World, name: string, work: () => Promise<T>): Promise<T> {
  return invoke(world, { name, random: world.random.fork('reconcile').fork(name), timeoutMs: 900_000 }, work);
}
