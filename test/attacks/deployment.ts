import { join } from 'node:path';
import { inspect } from 'node:util';
import { vi } from 'vitest';
import * as z from 'zod';
import { root } from '../../local/root.ts';
import { type Account, startAccount } from './account.ts';

export const region = 'eu-central-1';
export const accountId = '000000000000';
export const functionArn = (name: string) => `arn:aws:lambda:${region}:${accountId}:function:${name}`;
export const ownSecrets = `arn:aws:secretsmanager:${region}:${accountId}:secret:`;

type Handler = (event: unknown, context: unknown) => Promise<unknown>;
const handlerModule = z.object({ handler: z.custom<Handler>((value) => typeof value === 'function') });

export interface Outcome {
  readonly answer?: unknown;
  readonly error?: unknown;
}

/** The deployed functions in this process, each with its own clients, on an account in this process. */
export interface Deployment extends AsyncDisposable {
  readonly account: Account;
  /** What was printed since it was last taken: Lambda would have it in a log. */
  takePrinted(): string;
  /** A function that has just been started cold: nothing is cached. It may be called often. */
  start(name: string): Promise<(event: unknown) => Promise<Outcome>>;
}

/** All metrics and traces are on, so that what they say is heard too. */
export async function deploy({ vaultUrl }: { vaultUrl: string }): Promise<Deployment> {
  const start = async (name: string) => {
    vi.resetModules();
    const { handler } = handlerModule.parse(await import(join(root, `functions/${name}/handler.ts`)));
    return (event: unknown) =>
      handler(event, contextOf(name)).then(
        (answer) => ({ answer }),
        (error: unknown) => ({ error }),
      );
  };
  const warm = new Map<string, Awaited<ReturnType<typeof start>>>();
  const account = await startAccount({
    vaultUrl,
    async functions(name, event) {
      const run = warm.get(name) ?? (await start(name));
      warm.set(name, run);
      const outcome = await run(event);
      if ('error' in outcome) throw outcome.error;
      return outcome.answer;
    },
  });
  for (const [name, value] of Object.entries(environmentOf(account))) vi.stubEnv(name, value);
  // Nothing here lags, so what a function waits for between two looks has come.
  vi.doMock('node:timers/promises', async (original) => ({
    ...(await original<typeof import('node:timers/promises')>()),
    setTimeout: async () => undefined,
  }));
  // The SDK's pauses between its attempts are a random part of what they could be.
  vi.spyOn(Math, 'random').mockReturnValue(0);
  const printed: string[] = [];
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      printed.push(String(text));
      return true;
    });
  }
  for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const)
    vi.spyOn(console, method).mockImplementation(
      (...all) => void printed.push(all.map((one) => inspect(one)).join(' ')),
    );
  return {
    account,
    start,
    takePrinted: () => printed.splice(0).join('\n'),
    async [Symbol.asyncDispose]() {
      vi.restoreAllMocks();
      vi.doUnmock('node:timers/promises');
      vi.unstubAllEnvs();
      await account[Symbol.asyncDispose]();
    },
  };
}

function environmentOf({ url, xrayAddress }: Account): Record<string, string> {
  return {
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_ENDPOINT_URL: url,
    VAULT_ADDR: url,
    VAULT_NAMESPACE: '',
    VAULT_MOUNT: 'secret',
    VAULT_LOGIN_SECRET: 'keyturn/vault/approle',
    VAULT_AWS_ROLE: '',
    VAULT_AWS_SERVER_ID: '',
    MIRROR_DIGEST_SECRET: 'keyturn/test/mirror-digest-key',
    OWN_SECRET_ARNS: ownSecrets,
    STATE_TABLE_NAME: 'state',
    DECLARATIONS_TABLE_NAME: 'declarations',
    EVENT_BUS_NAME: 'keyturn',
    ALERT_TOPIC_ARN: `arn:aws:sns:${region}:${accountId}:alerts`,
    INVALIDATION_TOPIC_ARN: `arn:aws:sns:${region}:${accountId}:invalidations`,
    KEYTURN_STAGE: 'test',
    RUNBOOK_URL: 'https://runbook.example',
    HEALTH_WINDOW: '1',
    HEALTH_FAILURES: '1',
    ADMIN_SECRETS: 'keyturn/admin/*',
    ROTATE_FUNCTION_ARN: functionArn('rotate-secret'),
    REVOKE_FUNCTION_ARN: functionArn('revoke-superseded'),
    SCHEDULE_GROUP_NAME: 'grace',
    SCHEDULER_ROLE_ARN: `arn:aws:iam::${accountId}:role/scheduler`,
    SCHEDULE_DEAD_LETTER_ARN: `arn:aws:sqs:${region}:${accountId}:dead-letters`,
    POWERTOOLS_LOG_LEVEL: 'DEBUG',
    POWERTOOLS_METRICS_DISABLED: 'false',
    POWERTOOLS_TRACE_ENABLED: 'true',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    LAMBDA_TASK_ROOT: root,
    AWS_XRAY_DAEMON_ADDRESS: xrayAddress,
    _X_AMZN_TRACE_ID: 'Root=1-5e272390-8c398be037738dc042009320;Parent=94ae789b969f1cc5;Sampled=1',
    _HANDLER: 'handler.handler',
  };
}

const contextOf = (functionName: string) => ({
  functionName,
  functionVersion: '$LATEST',
  invokedFunctionArn: functionArn(functionName),
  memoryLimitInMB: '256',
  awsRequestId: crypto.randomUUID(),
  getRemainingTimeInMillis: () => 900_000,
});

/** What Lambda sends to the dead letters of an event that a function failed at, its retries included. */
export function deadLetterOf(event: unknown, error: unknown): string {
  const {
    name: errorType,
    message: errorMessage,
    stack = '',
  } = error instanceof Error ? error : new Error(String(error));
  return JSON.stringify({
    version: '1.0',
    requestContext: { condition: 'RetriesExhausted', approximateInvokeCount: 3 },
    requestPayload: event,
    responseContext: { statusCode: 200, functionError: 'Unhandled' },
    responsePayload: { errorType, errorMessage, trace: stack.split('\n') },
  });
}
