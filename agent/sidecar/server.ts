import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { SecretValue } from '../../shared/credential/secret-value.ts';
import { type CacheStats, type SecretHealth, sumOf } from '../cache-report.ts';
import type { SecretVersion } from '../secret-version.ts';
import { type Answer, answerOf, failureOf, secretAnswer } from './answer.ts';
import { prometheus } from './metrics.ts';
import { RefusedRequestError, type Route, routeOf } from './route.ts';
import { tokenCheck } from './token.ts';

/** What a sidecar needs of an agent: `AgentSecrets` has it. */
export interface SidecarAgent {
  get(secretId: string): Promise<SecretVersion>;
  held(secretId: string): SecretVersion | undefined;
  refreshNow(secretId: string): Promise<SecretVersion>;
  version(
    secretId: string,
    which: { readonly versionId?: string; readonly versionStage?: string },
  ): Promise<SecretVersion>;
  onChange(secretId: string, listener: (version: SecretVersion) => void): Disposable;
  stats(): CacheStats;
  health(): { readonly connected: boolean; readonly secrets: readonly SecretHealth[] };
}

/** What a sidecar needs to read Vault: `AgentVault` has it. */
export interface SidecarVault {
  get(path: string, options: { readonly mount?: string }): Promise<SecretVersion>;
  stats(): CacheStats;
  health(): readonly SecretHealth[];
}

export interface SidecarOptions {
  readonly agent: SidecarAgent;
  /** Without it `/vault/get` is not found. */
  readonly vault?: SidecarVault;
  /** What callers send in `X-Aws-Parameters-Secrets-Token` or `X-Vault-Token`. */
  readonly token: SecretValue;
  /** Default: 127.0.0.1. Another address than the loopback's needs `beyondLoopback` as well. */
  readonly host?: string;
  readonly beyondLoopback?: boolean;
  /** Default: 2773. 0: a free one. */
  readonly port?: number;
  /** Open connections, beyond which requests are answered with 429. Default: 800. */
  readonly maxConnections?: number;
}

/** Disposing it takes on no more, ends watches, and lets requests that are under way be answered, for five seconds at most. */
export interface Sidecar extends AsyncDisposable {
  readonly url: string;
}

/** The sidecar was to be reachable from other machines, and was not told so twice. */
export class BeyondLoopbackError extends Error {
  override readonly name = 'BeyondLoopbackError';
}

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);
const TOKEN_HEADERS = ['x-aws-parameters-secrets-token', 'x-vault-token'] as const;
const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
/** Paths that were read once; agents ask for the same few again and again. */
const ROUTES_MAX = 1_000;
/** A watch ends with the sidecar, so nothing can come on its connection after it. */
const WATCH_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  connection: 'close',
};
/** A proxy that drops silent connections mostly waits a minute. */
const WATCH_BEAT_MS = 25_000;
/** Longer than those who ask once a minute are silent: a connection that closes as they ask is an error to them. */
const KEEP_ALIVE_MS = 75_000;
/** How long a sidecar that ends waits for its last answers. An orchestrator mostly gives ten seconds or more. */
const DRAIN_MS = 5_000;

/**
 * Serves an agent's secrets over HTTP as the AWS Secrets Manager Agent does (aws/aws-secretsmanager-agent on GitHub), so that
 * its clients work unchanged, and besides: `/health`, `/metrics` and `/secretsmanager/watch`. Its cache is the agent's: with
 * invalidations, a hard bound and one read for all who wait.
 *
 * @throws BeyondLoopbackError, and what listening on the port throws.
 * @example
 * await using sidecar = await startSidecar({ agent, token: sidecarToken(process.env) });
 */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { host = '127.0.0.1', port = 2_773 } = options;
  assertReach(options);
  const handler = new RequestHandler(options);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) =>
    handler.handle(request, response),
  );
  server.on('connection', (socket) => handler.opened(socket));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  const bound = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}`,
    async [Symbol.asyncDispose]() {
      handler.close();
      const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
      await new Promise((resolve) => server.close(resolve));
      clearTimeout(cut);
    },
  };
}

/** @throws BeyondLoopbackError */
export function assertReach({
  host = '127.0.0.1',
  beyondLoopback = false,
}: Pick<SidecarOptions, 'host' | 'beyondLoopback'>): void {
  if (LOOPBACK.has(host) || beyondLoopback) return;
  throw new BeyondLoopbackError(
    `${host} is not the loopback address: say --beyond-loopback, or leave --host out`,
  );
}

type GetRoute = Route & { readonly kind: 'get' };

class RequestHandler {
  readonly #agent: SidecarAgent;
  readonly #vault: SidecarVault | undefined;
  readonly #isToken: (given: string | undefined) => boolean;
  readonly #maxConnections: number;
  readonly #anyHost: boolean;
  readonly #routes = new LRUCache<string, Route>({ max: ROUTES_MAX });
  readonly #answers = new Map<number, number>();
  readonly #watches = new Set<Disposable>();
  #connections = 0;
  #lastHost: string | undefined;
  #closing = false;

  constructor({ agent, vault, token, host, maxConnections = 800 }: SidecarOptions) {
    this.#agent = agent;
    this.#vault = vault;
    this.#isToken = tokenCheck(token);
    this.#maxConnections = maxConnections;
    this.#anyHost = host !== undefined && !LOOPBACK.has(host);
  }

  opened(socket: NodeJS.EventEmitter): void {
    this.#connections += 1;
    socket.once('close', () => {
      this.#connections -= 1;
    });
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    try {
      const route = this.#route(request);
      const held = this.#held(route);
      if (held) this.#write(response, 200, held);
      else this.#answer(route, response).catch((error: unknown) => this.#fail(error, response));
    } catch (error) {
      this.#fail(error, response);
    }
  }

  /** From now on each answer is the last of its connection. */
  close(): void {
    this.#closing = true;
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  /** Whether and what to answer, in the order of AWS's agent. A ping is nobody's secret. */
  #route({ url = '/', method, headers }: IncomingMessage): Route {
    const isPing = url === '/ping';
    if (this.#connections > this.#maxConnections + (isPing ? 2 : 0)) {
      throw new RefusedRequestError(429, 'Connection limit exceeded');
    }
    if (!isPing) {
      if (headers['x-forwarded-for'] !== undefined) throw new RefusedRequestError(400, 'Forwarded');
      if (!this.#isHost(headers.host)) throw new RefusedRequestError(400, 'Bad host');
      if (!TOKEN_HEADERS.some((name) => this.#isToken(single(headers[name])))) {
        throw new RefusedRequestError(403, 'Bad Token');
      }
    }
    if (method !== 'GET') throw new RefusedRequestError(405, 'Not allowed');
    const known = this.#routes.get(url);
    if (known) return known;
    const route = routeOf(url);
    this.#routes.set(url, route);
    return route;
  }

  /** What nearly every request comes to: an answer without a wait, in the turn in which it was asked for. */
  #held(route: Route): Answer | undefined {
    if (route.kind !== 'get' || !isCurrent(route) || route.refreshNow) return undefined;
    const version = this.#agent.held(route.secretId);
    return version && secretAnswer(route.secretId, version);
  }

  async #answer(route: Route, response: ServerResponse): Promise<void> {
    if (route.kind === 'get') await this.#get(route, response);
    else if (route.kind === 'vault') await this.#getFromVault(route, response);
    else if (route.kind === 'watch') await this.#watch(route.secretId, response);
    else this.#tell(route.kind, response);
  }

  #fail(error: unknown, response: ServerResponse): void {
    const { status, body } = failureOf(error);
    const isRefusal = error instanceof RefusedRequestError;
    // Who is refused keeps no connection, lest those beyond the limit stay beyond it.
    if (isRefusal) response.setHeader('connection', 'close');
    this.#send(response, status, isRefusal ? TEXT_TYPE : JSON_TYPE, body);
  }

  /** A page that had its own name point here would send that name (DNS rebinding). */
  #isHost(host: string | undefined): boolean {
    // Clients send the same one each time.
    if (this.#anyHost || (host !== undefined && host === this.#lastHost)) return true;
    if (!LOOPBACK.has(nameOf(host))) return false;
    this.#lastHost = host;
    return true;
  }

  async #get(route: GetRoute, response: ServerResponse): Promise<void> {
    const { secretId, versionId, versionStage, refreshNow } = route;
    const version = isCurrent(route)
      ? await (refreshNow ? this.#agent.refreshNow(secretId) : this.#agent.get(secretId))
      : await this.#agent.version(secretId, {
          ...(versionId !== undefined && { versionId }),
          ...(versionStage !== undefined && { versionStage }),
        });
    this.#write(response, 200, secretAnswer(secretId, version));
  }

  async #getFromVault(
    { path, mount }: Route & { readonly kind: 'vault' },
    response: ServerResponse,
  ): Promise<void> {
    if (!this.#vault) throw new RefusedRequestError(404, 'This sidecar reads no Vault');
    const version = await this.#vault.get(path, mount === undefined ? {} : { mount });
    this.#write(response, 200, secretAnswer(path, version));
  }

  #tell(kind: 'ping' | 'health' | 'metrics', response: ServerResponse): void {
    if (kind === 'ping') this.#send(response, 200, TEXT_TYPE, 'healthy');
    else if (kind === 'health') this.#tellHealth(response);
    else this.#send(response, 200, METRICS_TYPE, this.#metrics());
  }

  /** 503 where a secret that was asked for lately can't be served; a stale one can, and says so. */
  #tellHealth(response: ServerResponse): void {
    const { connected, secrets } = this.#agent.health();
    const vault = this.#vault?.health();
    const states = new Set([...secrets, ...(vault ?? [])].map(({ state }) => state));
    const status = states.has('unavailable') ? 'failing' : states.has('stale') ? 'degraded' : 'well';
    const body = JSON.stringify({ status, connected, secrets, vault });
    this.#send(response, status === 'failing' ? 503 : 200, JSON_TYPE, body);
  }

  #metrics(): string {
    const { connected } = this.#agent.health();
    const all = [this.#agent.stats(), ...(this.#vault ? [this.#vault.stats()] : [])];
    return prometheus(sumOf(all), {
      answers: this.#answers,
      connected,
      watchers: this.#watches.size,
    });
  }

  /** Server-sent events: the id of the version in force, and of each one that comes after it. */
  async #watch(secretId: string, response: ServerResponse): Promise<void> {
    const tell = ({ versionId }: SecretVersion) =>
      response.write(
        `event: version\nid: ${versionId}\ndata: ${JSON.stringify({ secretId, versionId })}\n\n`,
      );
    const current = await this.#agent.get(secretId);
    // Its `close` is past, and will end nothing that is begun now.
    if (response.destroyed) return;
    this.#count(200);
    response.writeHead(200, WATCH_HEADERS);
    tell(current);
    const listening = this.#agent.onChange(secretId, tell);
    const beat = setInterval(() => response.write(':\n\n'), WATCH_BEAT_MS).unref();
    const watch: Disposable = {
      [Symbol.dispose]: () => {
        listening[Symbol.dispose]();
        clearInterval(beat);
        this.#watches.delete(watch);
        response.end();
      },
    };
    this.#watches.add(watch);
    response.once('close', () => watch[Symbol.dispose]());
    if (this.#closing) watch[Symbol.dispose]();
  }

  #send(response: ServerResponse, status: number, type: string, body: string): void {
    this.#write(response, status, answerOf(type, body));
  }

  #write(response: ServerResponse, status: number, { headers, body }: Answer): void {
    this.#count(status);
    if (this.#closing) response.setHeader('connection', 'close');
    response.writeHead(status, headers);
    response.end(body);
  }

  #count(status: number): void {
    this.#answers.set(status, (this.#answers.get(status) ?? 0) + 1);
  }
}

function isCurrent({ versionId, versionStage = 'AWSCURRENT' }: GetRoute): boolean {
  return versionId === undefined && versionStage === 'AWSCURRENT';
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}

/** The name in a Host header, without port and brackets. */
function nameOf(host = ''): string {
  return host
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
}
