/** Which of AWS's actions each of our functions used, and on what: what its role must allow, and no more. */
import type { IncomingMessage } from 'node:http';

export interface RecordedCall {
  /** The `keyturn/<function>` of our clients' user agent. */
  readonly caller: string;
  /** As a policy writes it: `sns:Publish`. */
  readonly action: string;
  /** An ARN or a name, as the request has it; `*` where the action has none. */
  readonly resource: string;
}

export const callerOf = (userAgent: string | undefined): string | undefined =>
  /(?:^|\s)keyturn\/([\w.-]+)/.exec(userAgent ?? '')?.[1];

/** Listens to requests as they pass. A request of nobody's that we know isn't kept. */
export function createCallRecorder() {
  const seen = new Map<string, RecordedCall>();
  return {
    listen(request: IncomingMessage): void {
      const caller = callerOf(request.headers['user-agent']);
      const service = /\/([a-z]+)\/aws4_request/.exec(request.headers.authorization ?? '')?.[1];
      if (caller === undefined || service === undefined) return;
      const chunks: Buffer[] = [];
      // Beside whoever reads the request: both get every chunk.
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.once('end', () => {
        const body = Buffer.concat(chunks).toString();
        for (const resource of resourcesOf(request, body)) {
          const call = { caller, action: `${service}:${operationOf(request, body)}`, resource };
          seen.set(JSON.stringify(call), call);
        }
      });
    },
    calls: (): readonly RecordedCall[] => [...seen.values()],
  };
}

/** The REST services that functions of ours call. */
const routes: readonly (readonly [RegExp, string])[] = [
  [/^POST \/schedules\//, 'CreateSchedule'],
  [/^GET \/schedules\/?(\?|$)/, 'ListSchedules'],
  [/^GET \/schedules\//, 'GetSchedule'],
  [/^DELETE \/schedules\//, 'DeleteSchedule'],
  [/^POST \/2015-03-31\/functions\/[^/]+\/invocations/, 'InvokeFunction'],
];

function operationOf({ method, url, headers }: IncomingMessage, body: string): string {
  const target = headers['x-amz-target'];
  if (typeof target === 'string') return target.split('.').at(-1) ?? target;
  const route = routes.find(([pattern]) => pattern.test(`${method} ${url}`));
  return route?.[1] ?? new URLSearchParams(body).get('Action') ?? `${method} ${url}`;
}

const fields =
  /"(?:SecretId|TableName|EventBusName|TopicArn|QueueUrl)":"((?:[^"\\]|\\.)*)"|"SecretIdList":\[([^\]]*)\]/g;

function resourcesOf({ url = '' }: IncomingMessage, body: string): readonly string[] {
  const rest = /^\/schedules\/([^/?]+)/.exec(url)?.[1] ?? /functions\/([^/]+)\/invocations/.exec(url)?.[1];
  const named = rest ?? new URLSearchParams(body).get('TopicArn');
  if (named) return [decodeURIComponent(named)];
  const inJson = [...body.matchAll(fields)].flatMap(([, one, list]) =>
    one === undefined ? (list ?? '').split(',').map((text) => text.replaceAll('"', '')) : [one],
  );
  return inJson.length > 0 ? inJson : ['*'];
}
