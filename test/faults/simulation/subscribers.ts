import { alertRotationFailure } from '../../../functions/alert-rotation-failure/alert-rotation-failure.ts';
import { announceRotation } from '../../../functions/announce-rotation/announce-rotation.ts';
import { invalidateCaches } from '../../../functions/invalidate-caches/invalidate-caches.ts';
import { revokeSuperseded } from '../../../functions/revoke-superseded/revoke-superseded.ts';
import { syncRecord } from '../../../functions/sync-vault-mirror/sync-record.ts';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import { mirrorDigest } from '../../../shared/vault/digest.ts';
import { alerted } from './aws-doubles.ts';
import type { Subscriber } from './deliveries.ts';
import { isAdminSecret, type Line, lineOf } from './line.ts';
import { logOf, ownClock, runOf, theirClock } from './runs.ts';
import type { World } from './world.ts';

export interface Subscribers {
  readonly announce: Subscriber;
  readonly invalidate: Subscriber;
  readonly mirror: Subscriber;
  readonly revoke: Subscriber;
  readonly alertFailure: Subscriber;
}

const topicArn = 'arn:aws:sns:eu-central-1:123456789012:keyturn-invalidations';

export const graceSchedule = {
  groupName: 'grace',
  targetArn: 'revoke',
  roleArn: 'role',
  deadLetterArn: 'dead',
};

export const digest = async () => mirrorDigest(Buffer.alloc(32, 7));

/** The functions that events call, as they are deployed. */
export function subscribersOf(world: () => World): Subscribers {
  const subscriber = (
    name: string,
    by: Subscriber['by'],
    handle: (event: unknown, world: World, line: Line) => Promise<void>,
  ): Subscriber => ({
    name,
    by,
    handle: (event) => {
      const line = lineOf(world(), arnIn(event));
      return runOf(world(), name, line, 30_000, () => handle(event, world(), line));
    },
  });
  return {
    announce: subscriber('announce-rotation', 'lambda', announcement),
    invalidate: subscriber('invalidate-caches', 'lambda', invalidation),
    mirror: subscriber('sync-vault-mirror', 'queue', mirroring),
    revoke: subscriber('revoke-superseded', 'lambda', async (event, at, line) => {
      await revocation(at, event, line);
    }),
    alertFailure: subscriber('alert-rotation-failure', 'lambda', failureAlert),
  };
}

const count = () => undefined;

function announcement(event: unknown, world: World, line: Line): Promise<void> {
  const { secretsManager, scheduler, bus } = world;
  const log = logOf(world, line);
  const now = ownClock(world);
  return announceRotation(event, { secretsManager, scheduler, bus, schedule: graceSchedule, log, now });
}

function invalidation(event: unknown, world: World, line: Line): Promise<void> {
  const { secretsManager, sns } = world;
  return invalidateCaches(event, { secretsManager, sns, topicArn, count, log: logOf(world, line) });
}

function mirroring(event: unknown, world: World, line: Line): Promise<void> {
  const { secretsManager, vault } = world;
  const record = { body: JSON.stringify(event) };
  return syncRecord(record, { secretsManager, vault, digest, log: logOf(world, line), count });
}

function failureAlert(event: unknown, world: World, line: Line): Promise<void> {
  const { secretsManager, records, oracle } = world;
  return alertRotationFailure(event, {
    secretsManager,
    records: records.rotations,
    send: (message: AlertMessage) =>
      alerted(world, () => oracle.alerted(line, message.state, JSON.stringify(message))),
    runbookUrl: 'runbook',
    now: ownClock(world),
  });
}

/** revoke-superseded, whoever calls it. */
export function revocation(world: World, event: unknown, line: Line) {
  const { secretsManager, bus } = world;
  return revokeSuperseded(event, {
    pause: world.time.sleep,
    secretsManager,
    isAdminSecret,
    bus,
    log: logOf(world, line),
    count,
    now: theirClock(world),
  });
}

function arnIn(event: unknown): string {
  if (typeof event !== 'object' || event === null) throw new Error('an event is an object');
  if ('secretArn' in event) return String(event.secretArn);
  if ('resources' in event && Array.isArray(event.resources) && event.resources.length > 0) {
    return String(event.resources[0]);
  }
  if ('detail' in event) return arnIn(event.detail);
  throw new Error('the event names no secret');
}
