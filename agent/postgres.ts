import pg from 'pg';
import { postgresCredentialOf } from './postgres-credential.ts';
import {
  type ConnectionDriver,
  RotatingConnections,
  type RotatingConnectionsOptions,
} from './rotating-connections.ts';
import type { SecretVersion } from './secret-version.ts';

/** What is the secret's to say, a pool's user can't. */
type PoolSettings = Omit<
  pg.PoolConfig,
  'user' | 'password' | 'host' | 'port' | 'database' | 'connectionString' | 'ssl'
>;

/** Which secret's login the pool uses, and how its connections are made. */
export interface RotatingPoolOptions extends Omit<RotatingConnectionsOptions<pg.Pool>, 'driver'> {
  /** The field of the secret that holds the login, if the secret holds several credentials. */
  readonly field?: string | undefined;
  /** For pg's pool. While one login takes over from another there are two pools, each with up to `max` connections. */
  readonly pool?: PoolSettings | undefined;
  /** Settings for TLS, a CA's certificate for instance. TLS is on, and the server is verified, unless the secret says `ssl: false`. */
  readonly tls?: Exclude<pg.PoolConfig['ssl'], boolean | undefined> | undefined;
  /** Makes the pool of one login. Default: `new pg.Pool(config)`. */
  readonly openPool?: ((config: pg.PoolConfig) => pg.Pool) | undefined;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** invalid_password, and invalid_authorization_specification: a login that is gone, or that may not log in. */
const AUTH_FAILURES = new Set(['28P01', '28000']);

/**
 * A pool of PostgreSQL connections that outlives rotations. When a new version of the secret arrives, a connection with its
 * login is made first; once it stands, queries go there, running ones finish where they are, and the old login's connections
 * close. Until then the old login serves. A login that the server refuses is read again, and tried once more.
 *
 * @example
 * await using pool = new RotatingPool({ cache, secretId: 'agents/billing-7/credentials' });
 * const { rows } = await pool.query('select * from invoice where id = $1', [id]);
 */
export class RotatingPool implements AsyncDisposable {
  readonly #pools: RotatingConnections<pg.Pool>;

  constructor(options: RotatingPoolOptions) {
    this.#pools = new RotatingConnections({ ...options, driver: postgresDriver(options) });
  }

  /** The version whose login serves; undefined until the first connection. */
  get versionId(): string | undefined {
    return this.#pools.versionId;
  }

  /**
   * Runs one statement, on any connection of the login that serves. What the server says of the statement is thrown as pg throws it.
   *
   * @example
   * const { rows } = await pool.query('select * from invoice where id = $1', [id]);
   */
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
      client.release(!leavesUsable(error));
      throw error;
    }
  }

  /** A connection for a transaction. It is the caller's until released, whatever is rotated meanwhile. */
  connect(): Promise<pg.PoolClient> {
    // A pool that is ended leaves those who wait for a connection waiting, and lets those who have one finish: so to
    // wait is to use the pool, and to have is not.
    return this.#pools.use((pool) => pool.connect());
  }

  /** Resolves once every connection that is in use has been released, and closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pools[Symbol.asyncDispose]();
  }
}

/** @example const pool = rotatingPool({ cache, secretId: 'agents/billing-7/credentials' }); */
export function rotatingPool(options: RotatingPoolOptions): RotatingPool {
  return new RotatingPool(options);
}

/**
 * Whether the connection is good for another query after the error. It isn't after one that the server calls FATAL or PANIC,
 * nor after one of class 08, with which a pooler ends it. A server that says ERROR in its own language costs a new connection.
 */
function leavesUsable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity === 'ERROR' && !error.code?.startsWith('08');
}

function postgresDriver(options: Omit<RotatingPoolOptions, 'cache'>): ConnectionDriver<pg.Pool> {
  const { openPool = (config) => new pg.Pool(config) } = options;
  return {
    async open(version) {
      const pool = openPool(configOf(version, options));
      // An idle connection that the server closes is replaced by the next query; unheard, either event ends the process.
      pool.on('error', () => undefined);
      pool.on('connect', (client) => client.on('error', () => undefined));
      try {
        const client = await pool.connect();
        client.release();
        return pool;
      } catch (error) {
        await pool.end();
        throw error;
      }
    },
    /** Closes idle connections now, and those in use when they are released. */
    close: (pool) => pool.end(),
    isAuthFailure: (outcome) => outcome instanceof pg.DatabaseError && AUTH_FAILURES.has(outcome.code ?? ''),
  };
}

function configOf(
  version: SecretVersion,
  { field, pool, tls }: Pick<RotatingPoolOptions, 'field' | 'pool' | 'tls'>,
): pg.PoolConfig {
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
