import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import pg from 'pg';
import * as z from 'zod';
import { dispatch } from '../../local/secrets-manager/dispatch.ts';
import type { Engine } from '../../local/secrets-manager/engine.ts';
import { SecretsManagerError } from '../../local/secrets-manager/errors.ts';
import { answerOfTable, type Table } from './table.ts';

/** What becomes of an outside call. `quoted`: refused, in an error that says all that was asked; `corrupt`: answered, and no JSON. */
export type Fault = 'killed' | 'reply lost' | 'quoted' | 'corrupt';

/** One call of a function, of AWS, of Vault or of a database. */
export interface OutsideCall {
  readonly service: string;
  readonly operation: string;
  /** Everything that was sent but the signature. */
  readonly text: string;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An AWS account and a Vault as a function's own clients reach them: one address, and PostgreSQL. */
export interface Account extends AsyncDisposable {
  readonly url: string;
  readonly xrayAddress: string;
  readonly calls: OutsideCall[];
  readonly table: Table;
  readonly schedules: Map<string, string>;
  readonly segments: string[];
  readonly vaultTokens: Set<string>;
  /** Begins anew: nothing was called, kept or published. From here on the nth call meets the fault. */
  reset(next: {
    engine: Engine;
    strike?: { nth: number; fault: Fault };
    corruptAt?: readonly string[];
  }): void;
  /** Of the calls of one event, the third that is alike meets no fault. */
  nextEvent(): void;
  /** Faults are over. */
  heal(): void;
  wasStruck(): boolean;
}

/** A function's answer to another one that asked it. */
export type Functions = (name: string, event: unknown) => Promise<unknown>;

const likeness = ({ service, operation, text }: OutsideCall) =>
  `${service} ${operation} ${/"SecretId":"[^"]*"/.exec(text)?.[0] ?? ''}`;
/** Of calls that are alike, only so many meet a fault: what is done about the tenth is what was done about the second. */
const alike = 2;

const quote = (call: OutsideCall) => `refused was ${call.service} ${call.operation}: ${call.text}`;
const xml = (text: string) => text.replaceAll(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);

export async function startAccount({
  vaultUrl,
  functions,
}: {
  vaultUrl: string;
  functions: Functions;
}): Promise<Account> {
  const calls: OutsideCall[] = [];
  const table: Table = new Map();
  const schedules = new Map<string, string>();
  const segments: string[] = [];
  const vaultTokens = new Set<string>();
  let engine: Engine | undefined;
  let strike: { nth: number; fault: Fault } | undefined;
  let corruptAt: readonly string[] = [];
  let counted = 0;
  let isDead = false;
  let isStruck = false;
  let eventFrom = 0;
  /** Functions that another one asked have faults of their own, in their own scenarios. */
  let asked = 0;

  /** What the next call meets. */
  const met = (call: OutsideCall): Fault | undefined => {
    calls.push(call);
    if (asked > 0) return undefined;
    if (isDead) return 'killed';
    if (!strike) return undefined;
    const same = calls.slice(eventFrom).filter((other) => likeness(other) === likeness(call));
    if (same.length > alike) return undefined;
    counted += 1;
    if (counted !== strike.nth) return undefined;
    isStruck = true;
    isDead = strike.fault === 'killed';
    return strike.fault;
  };

  /** An answer whose beginning was lost: a parser's error says how it begins. */
  const corrupted = (body: string) => {
    const [at = body.length / 2] = corruptAt
      .map((secret) => body.indexOf(secret))
      .filter((index) => index >= 0);
    return body.slice(at);
  };

  const secretsManager = async (operation: string, body: string): Promise<Answer> => {
    if (!engine) throw new Error('No engine');
    const headers = { 'content-type': 'application/x-amz-json-1.1', date: new Date().toUTCString() };
    try {
      return {
        status: 200,
        headers,
        body: JSON.stringify(await dispatch(engine, operation, JSON.parse(body))),
      };
    } catch (error) {
      if (!(error instanceof SecretsManagerError)) throw error;
      return {
        status: error.status,
        headers,
        body: JSON.stringify({ __type: error.code, Message: error.message }),
      };
    }
  };

  const vault = async (request: IncomingMessage, body: string): Promise<Answer> => {
    const answer = await fetch(`${vaultUrl}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { 'x-vault-token': String(request.headers['x-vault-token'] ?? '') },
      ...(body !== '' && { body }),
    });
    const text = await answer.text();
    const token = /"client_token":"([^"]+)"/.exec(text)?.[1];
    if (token !== undefined) vaultTokens.add(token);
    return { status: answer.status, headers: { 'content-type': 'application/json' }, body: text };
  };

  const invoke = async (request: IncomingMessage, body: string): Promise<Answer> => {
    const name =
      decodeURIComponent(/functions\/([^/]+)\//.exec(request.url ?? '')?.[1] ?? '')
        .split(':')
        .at(-1) ?? '';
    if (request.headers['x-amz-invocation-type'] === 'Event') return { status: 202, body: '' };
    asked += 1;
    try {
      return { status: 200, body: JSON.stringify((await functions(name, JSON.parse(body))) ?? null) };
    } catch (error) {
      const { name: errorType, message: errorMessage } =
        error instanceof Error ? error : new Error('unknown');
      return {
        status: 200,
        headers: { 'x-amz-function-error': 'Unhandled' },
        body: JSON.stringify({ errorType, errorMessage }),
      };
    } finally {
      asked -= 1;
    }
  };

  const scheduler = (request: IncomingMessage, body: string): Answer => {
    if (request.method === 'GET') {
      return {
        status: 200,
        body: JSON.stringify({ Schedules: [...schedules.keys()].map((Name) => ({ Name })) }),
      };
    }
    const name = request.url?.split('/').at(-1)?.split('?')[0] ?? '';
    if (schedules.has(name))
      return { status: 409, headers: { 'x-amzn-errortype': 'ConflictException' }, body: '{}' };
    schedules.set(name, body);
    return { status: 200, body: JSON.stringify({ ScheduleArn: `arn:aws:scheduler:::schedule/${name}` }) };
  };

  const answerTo = async (call: OutsideCall, request: IncomingMessage, body: string): Promise<Answer> => {
    switch (call.service) {
      case 'Secrets Manager':
        return secretsManager(call.operation, body);
      case 'Vault':
        return vault(request, body);
      case 'DynamoDB':
        return answerOfTable(table, call.operation, JSON.parse(body));
      case 'EventBridge':
        return { status: 200, body: JSON.stringify({ FailedEntryCount: 0, Entries: [] }) };
      case 'Scheduler':
        return scheduler(request, body);
      case 'Lambda':
        return invoke(request, body);
      default:
        return {
          status: 200,
          headers: { 'content-type': 'text/xml' },
          body: '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>',
        };
    }
  };

  const refusal = (call: OutsideCall): Answer => {
    const said = quote(call);
    if (call.service === 'Vault')
      return { status: 400, body: JSON.stringify({ errors: [said], warnings: [said] }) };
    if (call.service === 'SNS') {
      return {
        status: 400,
        headers: { 'content-type': 'text/xml' },
        body: `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>InvalidParameter</Code><Message>${xml(said)}</Message></Error></ErrorResponse>`,
      };
    }
    return {
      status: 400,
      headers: { 'x-amzn-errortype': 'ValidationException' },
      body: JSON.stringify({ __type: 'ValidationException', message: said, Message: said }),
    };
  };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const body = (await buffer(request)).toString();
    const call = callOf(request, body);
    const fault = met(call);
    if (fault === 'killed') return void request.socket.resetAndDestroy();
    const answer = fault === 'quoted' ? refusal(call) : await answerTo(call, request, body);
    if (fault === 'reply lost') return void request.socket.resetAndDestroy();
    const headers = { 'content-type': 'application/json', ...answer.headers };
    response
      .writeHead(answer.status, headers)
      .end(fault === 'corrupt' ? corrupted(answer.body) : answer.body);
  };
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => response.writeHead(501).end(String(error)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const xray = createSocket('udp4', (message) => void segments.push(message.toString()));
  xray.bind(0, '127.0.0.1');
  await once(xray, 'listening');

  const restored = watchPostgres(met);
  const { port } = z.object({ port: z.number() }).parse(server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    xrayAddress: `127.0.0.1:${xray.address().port}`,
    calls,
    table,
    schedules,
    segments,
    vaultTokens,
    reset(next) {
      calls.length = 0;
      segments.length = 0;
      table.clear();
      schedules.clear();
      engine = next.engine;
      strike = next.strike;
      corruptAt = next.corruptAt ?? [];
      counted = 0;
      isDead = false;
      isStruck = false;
      eventFrom = 0;
    },
    nextEvent() {
      eventFrom = calls.length;
    },
    heal() {
      strike = undefined;
      isDead = false;
    },
    wasStruck: () => isStruck,
    async [Symbol.asyncDispose]() {
      restored();
      server.close();
      server.closeAllConnections();
      xray.close();
    },
  };
}

const services: readonly (readonly [string, RegExp])[] = [
  ['Secrets Manager', /^secretsmanager\./],
  ['DynamoDB', /^DynamoDB_\d+\./],
  ['EventBridge', /^AWSEvents\./],
];

function callOf(request: IncomingMessage, body: string): OutsideCall {
  const target = String(request.headers['x-amz-target'] ?? '');
  const service = services.find(([, prefix]) => prefix.test(target))?.[0];
  const headers = Object.entries(request.headers).filter(([name]) => name !== 'authorization');
  const text = `${request.method} ${request.url} ${JSON.stringify(Object.fromEntries(headers))} ${body}`;
  if (service) return { service, operation: target.split('.')[1] ?? '', text };
  const { url = '' } = request;
  if (url.startsWith('/v1/'))
    return { service: 'Vault', operation: `${request.method} ${url.slice(4)}`, text };
  if (url.includes('/functions/')) return { service: 'Lambda', operation: 'Invoke', text };
  if (url.startsWith('/schedules')) return { service: 'Scheduler', operation: `${request.method}`, text };
  return { service: 'SNS', operation: new URLSearchParams(body).get('Action') ?? '', text };
}

/** PostgreSQL's calls meet the faults too. An error of pg's quotes the statement, its values and how it was connected. */
function watchPostgres(met: (call: OutsideCall) => Fault | undefined): () => void {
  const { prototype } = pg.Client;
  const { connect, query } = prototype;
  const broken = new WeakSet<object>();
  const watched = async (self: object, operation: string, args: unknown[], work: () => unknown) => {
    if (Reflect.get(self, 'connectionParameters')?.application_name !== 'keyturn') return work();
    const login = Reflect.get(self, 'connectionParameters');
    const call = { service: 'PostgreSQL', operation, text: JSON.stringify(args) };
    const fault = broken.has(self) ? 'killed' : met(call);
    if (fault === undefined) return work();
    if (fault === 'killed' || fault === 'reply lost') {
      if (fault === 'reply lost') await work();
      broken.add(self);
      throw Object.assign(new Error('Connection terminated unexpectedly'), {
        code: 'ECONNRESET',
        client: self,
      });
    }
    const said = `${quote(call)} ${JSON.stringify(login)} ${String(Reflect.get(self, 'password'))}`;
    throw Object.assign(new pg.DatabaseError(said, said.length, 'error'), {
      code: '22023',
      detail: said,
      hint: said,
      where: said,
      internalQuery: said,
      client: self,
    });
  };
  prototype.connect = new Proxy(connect, {
    apply: (target, self, args) => watched(self, 'connect', [], () => Reflect.apply(target, self, args)),
  });
  prototype.query = new Proxy(query, {
    apply: (target, self, args) =>
      watched(self, /^\w+/.exec(String(args[0]))?.[0] ?? 'query', args, () =>
        Reflect.apply(target, self, args),
      ),
  });
  return () => void Object.assign(prototype, { connect, query });
}
