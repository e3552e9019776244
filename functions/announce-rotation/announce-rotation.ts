import type { SchedulerClient } from '@aws-sdk/client-scheduler';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { parsed } from '../../events/contract.ts';
import { secretChanged } from '../../events/secret-changed/event.ts';
import { secretLabelUpdated } from '../../events/secret-label-updated/event.ts';
import { secretRotated } from '../../events/secret-rotated/event.ts';
import { graceEnd } from '../../shared/grace/grace.ts';
import { type GraceSchedule, scheduleGraceEnd } from '../../shared/grace/schedule.ts';
import { moveOf } from '../../shared/labels/moved.ts';
import { agentIdOf } from '../../shared/labels/tags.ts';
import type { EventBus } from '../../shared/notification/event-bus.ts';

export interface AnnounceRotationDependencies {
  readonly secretsManager: SecretsManagerClient;
  readonly scheduler: SchedulerClient;
  readonly bus: EventBus;
  readonly schedule: GraceSchedule;
  readonly log: { debug(message: string, fields: Record<string, string>): void };
  readonly now: () => Date;
}

/**
 * Says on the bus that AWSCURRENT moved, and sees to it that a superseded credential ends with its grace period.
 *
 * The schedule comes first. Killed between the two, the delivery is repeated: the schedule is there already, and the event
 * goes out. The other way round, a consumer could be told of a grace period that nothing will end. Grace counts from the
 * event's own time, so a repeat computes the same end. An event published twice names the same rotation.
 */
export async function announceRotation(
  input: unknown,
  dependencies: AnnounceRotationDependencies,
): Promise<void> {
  const { secretsManager, scheduler, bus, schedule, log, now } = dependencies;
  const event = parsed('Secret Label Updated', secretLabelUpdated, input);
  const { labelUpdated: label, versionId } = event.detail;
  const movedAt = new Date(event.time);
  const move = await moveOf(secretsManager, { secretArn: event.resources[0], label, versionId, movedAt });
  if (move.outcome === 'ignored') {
    log.debug('Nothing to announce', { reason: move.reason, secretArn: event.resources[0], versionId });
    return;
  }
  const { secret, change } = move;
  const { currentVersionId, supersededVersionId } = change;
  const ofSecret = {
    schemaVersion: 1 as const,
    secret: secret.name,
    secretArn: secret.arn,
    agentId: agentIdOf(secret.tags),
  };
  const versions = { currentVersionId, ...(supersededVersionId !== undefined && { supersededVersionId }) };

  if (change.kind === 'changed') {
    await bus.publish([secretChanged.of({ ...ofSecret, ...versions, changedAt: movedAt.toISOString() })]);
    return;
  }
  const rotated = {
    ...ofSecret,
    ...versions,
    rotationId: currentVersionId,
    rotatedAt: movedAt.toISOString(),
  };
  if (supersededVersionId === undefined) {
    await bus.publish([secretRotated.of(rotated)]);
    return;
  }
  const graceEndsAt = graceEnd(movedAt, secret.tags).toISOString();
  await scheduleGraceEnd(
    scheduler,
    schedule,
    {
      secretArn: secret.arn,
      supersededVersionId,
      currentVersionId,
      rotationId: currentVersionId,
      graceEndsAt,
    },
    now(),
  );
  await bus.publish([secretRotated.of({ ...rotated, graceEndsAt })]);
}
