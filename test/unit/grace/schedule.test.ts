import { ListSchedulesCommand, SchedulerClient } from '@aws-sdk/client-scheduler';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { scheduledGraceEnds, scheduleName } from '../../../shared/grace/schedule.ts';

const secretArn =
  'arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/billing-7/credentials-a1B2c3';
const currentVersionId = '6f1b8a52-3c7e-4d0a-9a51-2f0c5c1e7b11';
/** A token that RotateSecret takes, and no schedule's name can hold. */
const longVersionId = `/${'x'.repeat(63)}`;

it('a schedule is named by secret and version, within 64 characters for any version id', () => {
  const of = (arn: string, version: string) => scheduleName({ secretArn: arn, currentVersionId: version });
  expect(of(secretArn, currentVersionId)).toMatch(new RegExp(`^[0-9a-f]{20}-${currentVersionId}$`));
  expect(of(`${secretArn}x`, currentVersionId)).not.toBe(of(secretArn, currentVersionId));
  expect(of(secretArn, longVersionId)).toMatch(/^[0-9a-f]{20}-[0-9a-f]{43}$/);
});

describe('what is scheduled', () => {
  const scheduler = mockClient(SchedulerClient);
  beforeEach(() => scheduler.reset());
  afterAll(() => scheduler.restore());

  it('is read from every page, and told apart by secret and version, whatever the version id', async () => {
    scheduler
      .on(ListSchedulesCommand)
      .resolvesOnce({ Schedules: [{ Name: scheduleName({ secretArn, currentVersionId }) }], NextToken: '2' })
      .resolves({ Schedules: [{ Name: scheduleName({ secretArn, currentVersionId: longVersionId }) }] });
    const isScheduled = await scheduledGraceEnds(new SchedulerClient(), 'keyturn-dev-grace');
    expect(isScheduled({ secretArn, currentVersionId })).toBe(true);
    expect(isScheduled({ secretArn, currentVersionId: longVersionId })).toBe(true);
    expect(isScheduled({ secretArn: `${secretArn}x`, currentVersionId })).toBe(false);
    expect(isScheduled({ secretArn, currentVersionId: 'another' })).toBe(false);
  });

  it('that AWS does not list is an error that names the call and the code alone', async () => {
    scheduler
      .on(ListSchedulesCommand)
      .rejects(Object.assign(new Error('hunter2'), { name: 'AccessDeniedException' }));
    await expect(scheduledGraceEnds(new SchedulerClient(), 'group')).rejects.toMatchObject({
      name: 'AwsCallError',
      message: 'scheduler:ListSchedules: AccessDeniedException',
    });
  });
});
