import { createHash } from 'node:crypto';
import {
  ConflictException,
  CreateScheduleCommand,
  paginateListSchedules,
  type SchedulerClient,
} from '@aws-sdk/client-scheduler';
import { calledAws } from '../aws/errors.ts';

/** Where the ends of grace periods are scheduled, and whom they call. */
export interface GraceSchedule {
  readonly groupName: string;
  readonly targetArn: string;
  readonly roleArn: string;
  readonly deadLetterArn: string;
}

/** What a schedule hands to revoke-superseded, whose contract is the event `grace-ended`. */
export interface GraceEnd {
  readonly secretArn: string;
  readonly supersededVersionId: string;
  readonly currentVersionId: string;
  readonly rotationId: string;
  /** ISO 8601. */
  readonly graceEndsAt: string;
}
/** What tells one end from another. */
export type GraceEndKey = Pick<GraceEnd, 'secretArn' | 'currentVersionId'>;

/** The name is derived from what is scheduled, so that a repeat can't make a second one. At most 64 characters. */
export function scheduleName({ secretArn, currentVersionId }: GraceEndKey): string {
  const version = /^[\w.-]{1,43}$/.test(currentVersionId) ? currentVersionId : digest(currentVersionId, 43);
  return `${digest(secretArn, 20)}-${version}`;
}

/**
 * Schedules the end of a grace period, once. A schedule of that name is the same schedule: a success. One that has run
 * is deleted, so an event replayed later makes it again, and revoke-superseded repeats what it did.
 *
 * @throws AwsCallError
 */
export async function scheduleGraceEnd(
  client: SchedulerClient,
  { groupName, targetArn, roleArn, deadLetterArn }: GraceSchedule,
  input: GraceEnd,
  now: Date,
): Promise<'scheduled' | 'was scheduled'> {
  return calledAws('scheduler:CreateSchedule', async () => {
    try {
      await client.send(
        new CreateScheduleCommand({
          Name: scheduleName(input),
          GroupName: groupName,
          ScheduleExpression: `at(${atSecond(input.graceEndsAt, now)})`,
          ScheduleExpressionTimezone: 'UTC',
          FlexibleTimeWindow: { Mode: 'OFF' },
          ActionAfterCompletion: 'DELETE',
          Target: {
            Arn: targetArn,
            RoleArn: roleArn,
            Input: JSON.stringify(input),
            RetryPolicy: { MaximumEventAgeInSeconds: 86_400, MaximumRetryAttempts: 185 },
            DeadLetterConfig: { Arn: deadLetterArn },
          },
        }),
      );
      return 'scheduled';
    } catch (error) {
      if (error instanceof ConflictException) return 'was scheduled';
      throw error;
    }
  });
}

/** Whether the end of a grace period is scheduled. Once it has come, it is no longer. */
export type IsScheduled = (end: GraceEndKey) => boolean;

/**
 * Which ends are scheduled: a call for a hundred schedules, and none a secret. The list may lag behind.
 *
 * @throws AwsCallError
 */
export async function scheduledGraceEnds(client: SchedulerClient, groupName: string): Promise<IsScheduled> {
  return calledAws('scheduler:ListSchedules', async () => {
    const names = new Set<string>();
    const pages = paginateListSchedules({ client, pageSize: 100 }, { GroupName: groupName });
    for await (const { Schedules = [] } of pages) for (const { Name = '' } of Schedules) names.add(Name);
    return (end) => names.has(scheduleName(end));
  });
}

/** Whole seconds, rounded up: grace is never cut short. A time that has passed is moved just ahead, lest it never come. */
function atSecond(graceEndsAt: string, now: Date): string {
  const ms = Math.max(Date.parse(graceEndsAt), now.getTime() + 5_000);
  return new Date(Math.ceil(ms / 1_000) * 1_000).toISOString().slice(0, 'yyyy-mm-ddThh:mm:ss'.length);
}

function digest(text: string, characters: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, characters);
}
