import pg from 'pg';
import { type AdoptionListener, adoptionOf, told } from './adoption.ts';
import { type Clock, steadyClock } from './clock.ts';
import { AgentClosedError } from './errors.ts';
import { postgresCredentialOf } from './postgres-credential.ts';
import type { SecretCache } from './secret-cache.ts';
import type { SecretVersion } from './secret-version.ts';

/** What is the secret's to say, a pool's user can't. */
type PoolSettings = Omit<
  pg.PoolConfig,
  'user' | 'password' | 'host' | 'port' | 'database' | 'connectionString' | 'ssl'
>;

export interface RotatingPoolOptions {
  readonly cache: SecretCache;
  readonly secretId: string;
  /** The field of the secret that holds the login, if the secret holds several credentials. */
  readonly field?: string;
  /** For pg's pool. While one login takes over from another there are two pools, each with up to `max` connections. */
  readonly pool?: PoolSettings;
  /** Settings for TLS, a CA's certificate for instance. TLS is on, and the server is verified, unless the secret says `ssl: false`. */
  readonly tls?: Exclude<pg.PoolConfig['ssl'], boolean | undefined>;
  readonly onAdopted?: AdoptionListener;
  readonly openPool?: (config: pg.PoolConfig) => pg.Pool;
  readonly now?: Clock;
}

/** The connections of one login. */
interface Lane {
  readonly versionId: string;
  readonly pool: pg.Pool;
  /** Those who wait for a connection. pg's `end` would leave them waiting for ever, so it comes after them. */
  entering: number;
  retired: boolean;
}

const CONNECT_TIMEOUT_MS = 10_000;
const BACKOFF_MS = { first: 1_000, most: 30_000 };
/** invalid_password, and invalid_authorization_specification: a login that is gone, or that may not log in. */
const AUTH_FAILURES = new Set(['28P01', '28000']);

/**
 * A pool of PostgreSQL connections that outlives rotations. When a new version of the secret arrives, a connection with its
 * login is made first; once it stands, queries go there, running ones finish where they are, and the old login's connections
 * close. Until then the old login serves. A login that the server refuses is read again and tried once more.
 *
 * @example
 * await using pool = new RotatingPool({ cache, secretId: 'agents/billing-7/credentials' });
 * const { rows } = await pool.query('select * from invoice where id = $1', [id]);
 */
export class RotatingPool implements AsyncDisposable {
  readonly #options: RotatingPoolOptions;
  readonly #now: Clock;
  readonly #listening: Disposable;
  readonly #draining = new Set<Promise<void>>();
  #lane: Lane | undefined;
  #opening: Promise<Lane> | undefined;
  #failures = 0;
  #retryAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: RotatingPoolOptions) {
    this.#options = options;
    this.#now = options.now ?? steadyClock();
    this.#listening = options.cache.onChange(options.secretId, () => this.#follow());
  }

  /** The version whose login serves; undefined until the first connection. */
  get versionId(): string | undefined {
    return this.#lane?.versionId;
  }

  async query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    statement: string | pg.QueryConfig<unknown[]>,
    values?: unknown[],
  ): Promise<pg.QueryResult<Row>> {
    const client = await this.connect();
    try {
      const result = await client.query<Row, unknown[]>(statement, values);
      client.release();
      return result;
    } catch (error) {
      // The server's own errors leave the connection usable, and pg knows when they don't.
      client.release(!(error instanceof pg.DatabaseError));
      throw error;
    }
  }

  /** A connection for a transaction. It is the caller's until released, whatever is rotated meanwhile. */
  async connect(): Promise<pg.PoolClient> {
    for (let retried = false; ; ) {
      const lane = this.#serving() ?? (await this.#open());
      if (lane.retired) continue;
      try {
        return await this.#enter(lane);
      } catch (error) {
        if (retried || !isAuthFailure(error)) throw error;
        retried = true;
        await this.#options.cache.refresh(this.#options.secretId);
        await this.#open();
      }
    }
  }

  /** Resolves once every connection that is in use has been released, and closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#listening[Symbol.dispose]();
    await this.#opening?.catch(() => undefined);
    if (this.#lane) this.#retire(this.#lane);
    this.#lane = undefined;
    await Promise.all(this.#draining);
  }

  /** The lane that may serve now. None if there is none yet, or if the secret is past its hard bound, gone or denied. */
  #serving(): Lane | undefined {
    if (this.#closed) throw new AgentClosedError('The pool is closed');
    const { cache, secretId } = this.#options;
    if (!this.#lane || !cache.isUsable(secretId)) return undefined;
    const fresh = cache.peek(secretId);
    if (fresh === undefined) cache.get(secretId).catch(() => undefined);
    else this.#follow();
    return this.#lane;
  }

  /** Goes over to what the cache has, if it is another version than the lane's, while the lane serves. */
  #follow(): void {
    const fresh = this.#options.cache.peek(this.#options.secretId);
    if (this.#closed || this.#opening || !this.#lane || !fresh) return;
    if (fresh.versionId === this.#lane.versionId || this.#now() < this.#retryAt) return;
    this.#open().catch(() => undefined);
  }

  #open(): Promise<Lane> {
    this.#opening ??= this.#openFreshest()
      .then(
        (lane) => {
          this.#failures = 0;
          return lane;
        },
        (error: unknown) => {
          this.#failures += 1;
          const pause = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** (this.#failures - 1));
          this.#retryAt = this.#now() + pause;
          throw error;
        },
      )
      .finally(() => {
        this.#opening = undefined;
        // A version may have arrived meanwhile.
        this.#follow();
      });
    return this.#opening;
  }

  async #openFreshest(): Promise<Lane> {
    const { cache, secretId, onAdopted } = this.#options;
    for (let retried = false; ; retried = true) {
      const version = await cache.get(secretId);
      if (this.#lane?.versionId === version.versionId) return this.#lane;
      try {
        const lane = await this.#proven(version);
        if (this.#lane) this.#retire(this.#lane);
        this.#lane = lane;
        if (onAdopted) told(onAdopted, adoptionOf(secretId, version));
        return lane;
      } catch (error) {
        if (retried || !isAuthFailure(error)) throw error;
        await cache.refresh(secretId);
      }
    }
  }

  /** A lane that has connected once. */
  async #proven(version: SecretVersion): Promise<Lane> {
    const { openPool = (config) => new pg.Pool(config) } = this.#options;
    const pool = openPool(this.#configOf(version));
    // An idle connection that the server closes is replaced by the next query; unheard, either event ends the process.
    pool.on('error', () => undefined);
    pool.on('connect', (client) => client.on('error', () => undefined));
    try {
      const client = await pool.connect();
      client.release();
      return { versionId: version.versionId, pool, entering: 0, retired: false };
    } catch (error) {
      await pool.end();
      throw error;
    }
  }

  #configOf(version: SecretVersion): pg.PoolConfig {
    const { field, pool, tls } = this.#options;
    const { host, port, dbname, username, password, ssl } = postgresCredentialOf(version, field);
    return {
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      fallback_application_name: 'keyturn/agent',
      ...pool,
      host,
      port,
      database: dbname,
      user: username,
      password: () => password.reveal(),
      ssl: ssl && { ...tls },
    };
  }

  async #enter(lane: Lane): Promise<pg.PoolClient> {
    lane.entering += 1;
    try {
      return await lane.pool.connect();
    } finally {
      lane.entering -= 1;
      if (lane.retired && lane.entering === 0) this.#end(lane);
    }
  }

  #retire(lane: Lane): void {
    lane.retired = true;
    if (lane.entering === 0) this.#end(lane);
  }

  /** Closes idle connections now, and those in use when they are released. */
  #end(lane: Lane): void {
    const ended: Promise<void> = lane.pool.end().finally(() => this.#draining.delete(ended));
    this.#draining.add(ended);
  }
}

/** @example const pool = rotatingPool({ cache, secretId: 'agents/billing-7/credentials' }); */
export function rotatingPool(options: RotatingPoolOptions): RotatingPool {
  return new RotatingPool(options);
}

function isAuthFailure(error: unknown): boolean {
  return error instanceof pg.DatabaseError && AUTH_FAILURES.has(error.code ?? '');
}
