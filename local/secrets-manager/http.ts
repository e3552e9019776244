/** Secrets Manager over HTTP, by itself or in front of ministack: then one endpoint serves all of AWS. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { answerAdmin, isAdmin } from './admin.ts';
import { createCallCounter } from './calls.ts';
import { type Clock, createClock } from './clock.ts';
import { dispatch } from './dispatch.ts';
import { createEngine, type Engine, type EngineOptions, type LabelMoved } from './engine.ts';
import { SecretsManagerError } from './errors.ts';
import { lambdaInvoker } from './lambda.ts';
import { createShadows } from './native-event.ts';
import { proxy } from './proxy.ts';
import { callerOf, createCallRecorder, type RecordedCall } from './recorded-calls.ts';
import type { RotationEvent } from './rotation.ts';

export type SecretsManager = AsyncDisposable & {
  readonly url: string;
  readonly engine: Engine;
  readonly clock: Clock;
  /** What our functions have called so far, of all of AWS. */
  recordedCalls(): readonly RecordedCall[];
  /** Until it is disposed of, no schedule begins a rotation: Secrets Manager misses its windows. */
  holdSchedules(): Disposable;
};

/** What a test may listen to, and end a process at. */
export interface Listeners {
  /** Told before the native event is caused. */
  readonly onLabelMoved?: (moved: LabelMoved) => void;
  /** Told of each call of one of our functions, by the function's name, before it is answered. */
  readonly onCall?: (caller: string, operation: string) => void;
  /** Told before the rotation function is invoked. */
  readonly onStep?: (event: RotationEvent) => void;
}

const TARGET = 'secretsmanager.';
const SCHEDULE_CHECK_MS = 1000;

/**
 * Serves the engine at a port of the loopback interface, hands everything else to ministack, invokes rotation functions
 * there and causes native events there. Without ministack it is Secrets Manager alone, and rotates nothing.
 *
 * @example await using secretsManager = await startSecretsManager({ port, ministackUrl: ministack.url });
 */
export async function startSecretsManager({
  port,
  ministackUrl,
  accountId = '000000000000',
  region = 'us-east-1',
  onLabelMoved,
  onCall,
  onStep,
  ...rotation
}: {
  port: number;
  ministackUrl?: string;
  accountId?: string;
  region?: string;
} & Listeners &
  Pick<EngineOptions, 'attempts' | 'retryDelayMs' | 'wait' | 'pendingAfterFinish'>): Promise<SecretsManager> {
  const clock = createClock();
  const ministack = ministackUrl === undefined ? undefined : partsOf(ministackUrl, region);
  const engine = createEngine({
    ...rotation,
    now: clock.now,
    ...(ministack && {
      newArn: ministack.shadows.newArn,
      invoke: (functionArn: string, event: RotationEvent) => {
        onStep?.(event);
        return ministack.functions.invoke(functionArn, event);
      },
    }),
    onLabelMoved: (moved) => {
      onLabelMoved?.(moved);
      return ministack?.shadows.onLabelMoved(moved);
    },
    accountId,
    region,
  });
  const calls = createCallCounter();
  const recorder = createCallRecorder();
  const server = createServer((request, response) => {
    response.sendDate = false;
    recorder.listen(request);
    const target = request.headers['x-amz-target'];
    if (isAdmin(request)) void answerAdmin(request, response, { engine, clock, calls });
    else if (typeof target === 'string' && target.startsWith(TARGET)) {
      const operation = target.slice(TARGET.length);
      calls.count(operation, request.headers['user-agent']);
      const caller = callerOf(request.headers['user-agent']);
      if (caller !== undefined) onCall?.(caller, operation);
      void answer(operation, request, response, { engine, clock });
    } else if (ministack) proxy(ministack.url, request, response);
    else response.writeHead(404).end();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  let held = 0;
  const timer = setInterval(() => {
    if (held > 0) return;
    engine.fireDueSchedules().catch((error: unknown) => process.emitWarning(String(error)));
  }, SCHEDULE_CHECK_MS);
  return {
    url: `http://127.0.0.1:${port}`,
    engine,
    clock,
    recordedCalls: recorder.calls,
    holdSchedules() {
      held += 1;
      return {
        [Symbol.dispose]: () => {
          held -= 1;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      server.close();
      server.closeAllConnections();
      await engine.idle();
      ministack?.functions.close();
      ministack?.shadows.close();
    },
  };
}

function partsOf(endpoint: string, region: string) {
  return {
    url: new URL(endpoint),
    functions: lambdaInvoker({ endpoint, region }),
    shadows: createShadows({ endpoint, region }),
  };
}

/** Answers one Secrets Manager request; what isn't a refusal is an internal fault, told without its details. */
async function answer(
  operation: string,
  request: IncomingMessage,
  response: ServerResponse,
  { engine, clock }: { engine: Engine; clock: Clock },
): Promise<void> {
  const headers = {
    'content-type': 'application/x-amz-json-1.1',
    'x-amzn-requestid': randomUUID(),
    // The engine's time, so that a client whose clock was not advanced corrects its skew.
    date: clock.now().toUTCString(),
  };
  try {
    const body = await json(request).catch(() => {
      throw new SecretsManagerError('SerializationException', 'The request body is not JSON.');
    });
    const result = JSON.stringify(await dispatch(engine, operation, body));
    response.writeHead(200, { ...headers, 'content-length': Buffer.byteLength(result) }).end(result);
  } catch (error) {
    if (!(error instanceof SecretsManagerError)) process.emitWarning(`${operation}: ${String(error)}`);
    const refusal =
      error instanceof SecretsManagerError
        ? error
        : new SecretsManagerError('InternalServiceError', 'An error occurred on the server side.');
    response
      .writeHead(refusal.status, { ...headers, 'x-amzn-errortype': refusal.code })
      .end(JSON.stringify({ __type: refusal.code, Message: refusal.message }));
  }
}
