/** What the local stack and its tests may do beyond AWS: move time, count calls, wait for rotations. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { z } from 'zod';
import type { createCallCounter } from './calls.ts';
import type { Clock } from './clock.ts';
import type { Engine } from './engine.ts';

const PREFIX = '/_keyturn/';
const advance = z.strictObject({ advanceMs: z.number().nonnegative() });

export const isAdmin = (request: IncomingMessage): boolean => request.url?.startsWith(PREFIX) ?? false;

type Served = { engine: Engine; clock: Clock; calls: ReturnType<typeof createCallCounter> };

/**
 * `POST clock {advanceMs}` moves the clock and begins what has fallen due; `GET calls` and `DELETE calls` count
 * Secrets Manager calls; `GET idle` answers when no rotation runs.
 */
export async function answerAdmin(request: IncomingMessage, response: ServerResponse, served: Served) {
  try {
    const result = await administer(request, served);
    respond(response, result === undefined ? 404 : 200, result ?? { error: 'no such admin endpoint' });
  } catch (error) {
    respond(response, 400, { error: error instanceof Error ? error.message : String(error) });
  }
}

async function administer(request: IncomingMessage, { engine, clock, calls }: Served): Promise<unknown> {
  switch (`${request.method} ${request.url?.slice(PREFIX.length)}`) {
    case 'POST clock': {
      clock.advance(advance.parse(await json(request)).advanceMs);
      await engine.fireDueSchedules();
      return { now: clock.now().toISOString() };
    }
    case 'GET calls':
      return calls.counts();
    case 'DELETE calls':
      calls.reset();
      return calls.counts();
    case 'GET idle':
      await engine.idle();
      return { idle: true };
    default:
      return undefined;
  }
}

function respond(response: ServerResponse, status: number, body: unknown) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
