import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { type AwsRequest, answeredBy, textOf } from '../aws-in-process.ts';
import type { Watch } from './fleet.ts';

/** Schedules by name, with what each was made of. */
export type InMemoryScheduler = Map<string, unknown>;

/** The AWS SDK's own client on schedules in memory: it lists them, and makes each name once. */
export function schedulerClientOf(schedules: InMemoryScheduler, watch: Watch): SchedulerClient {
  return new SchedulerClient({
    ...answeredBy((request) => {
      watch.before(`${request.method} schedules`, true);
      const [status, answer] = answered(schedules, request);
      watch.after(`${request.method} schedules`);
      const type = status === 409 ? { 'x-amzn-errortype': 'ConflictException' } : {};
      return {
        status,
        headers: { 'content-type': 'application/json', ...type },
        text: JSON.stringify(answer),
      };
    }),
    maxAttempts: 2,
  });
}

function answered(schedules: InMemoryScheduler, request: AwsRequest): [number, object] {
  const { method, path } = request;
  if (method === 'GET') return [200, { Schedules: [...schedules.keys()].map((Name) => ({ Name })) }];
  const name = decodeURIComponent(path.split('/').at(-1) ?? '');
  if (schedules.has(name)) return [409, { Message: `Schedule ${name} already exists.` }];
  schedules.set(name, JSON.parse(textOf(request)));
  return [200, { ScheduleArn: `arn:aws:scheduler:eu-central-1:000000000000:schedule/grace/${name}` }];
}
