import { Readable } from 'node:stream';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { textOf } from '../rotation/in-process.ts';
import type { Watch } from './fleet.ts';

/** Schedules by name, with what each was made of. */
export type InMemoryScheduler = Map<string, unknown>;

/** The AWS SDK's own client on schedules in memory: it lists them, and makes each name once. */
export function schedulerClientOf(schedules: InMemoryScheduler, watch: Watch): SchedulerClient {
  return new SchedulerClient({
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 2,
    requestHandler: {
      async handle(request: { method: string; path: string; body?: unknown }) {
        watch.before(`${request.method} schedules`, true);
        const [status, answer] = answered(schedules, request);
        watch.after(`${request.method} schedules`);
        const type = status === 409 ? { 'x-amzn-errortype': 'ConflictException' } : {};
        return {
          response: {
            statusCode: status,
            headers: { 'content-type': 'application/json', ...type },
            body: Readable.from([Buffer.from(JSON.stringify(answer))]),
          },
        };
      },
    },
  });
}

function answered(
  schedules: InMemoryScheduler,
  { method, path, body }: { method: string; path: string; body?: unknown },
): [number, object] {
  if (method === 'GET') return [200, { Schedules: [...schedules.keys()].map((Name) => ({ Name })) }];
  const name = decodeURIComponent(path.split('/').at(-1) ?? '');
  if (schedules.has(name)) return [409, { Message: `Schedule ${name} already exists.` }];
  schedules.set(name, JSON.parse(textOf(body)));
  return [200, { ScheduleArn: `arn:aws:scheduler:eu-central-1:000000000000:schedule/grace/${name}` }];
}
