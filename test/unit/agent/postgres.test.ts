import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Adoption } from '../../../agent/adoption.ts';
import {
  AgentClosedError,
  SecretDeniedError,
  SecretMalformedError,
  SecretUnavailableError,
  SourceUnreachableError,
} from '../../../agent/errors.ts';
import { RotatingPool, type RotatingPoolOptions } from '../../../agent/postgres.ts';
import type { SecretCache } from '../../../agent/secret-cache.ts';
import { PostgresServer } from './postgres-server.ts';
import { cacheOver, Store, secret, versionIdOf } from './setting.ts';

let server: PostgresServer;
let port: number;
let store: Store;
let cache: SecretCache;
let pool: RotatingPool;
const adoptions: Adoption[] = [];

beforeEach(async () => {
  server = new PostgresServer();
  port = await server.listening();
  store = new Store();
  cache = cacheOver(store);
  adoptions.length = 0;
  store.now = 10_000;
  cache.notice(rotateTo('agent_a'));
  pool = poolOf();
});
afterEach(async () => {
  await pool[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

function poolOf(options: Partial<RotatingPoolOptions> = {}): RotatingPool {
  return new RotatingPool({
    cache,
    secretId: secret,
    now: () => store.now,
    onAdopted: (adoption) => {
      adoptions.push(adoption);
      server.changed();
    },
    ...options,
  });
}

/** The target takes the login, and then AWSCURRENT moves to it. */
function rotateTo(username: string) {
  server.logins.set(username, `p-${username}`);
  return moveTo(username);
}

function moveTo(username: string) {
  store.now += 5_000;
  const value = {
    engine: 'postgres',
    host: '127.0.0.1',
    port,
    username,
    password: `p-${username}`,
    ssl: false,
  };
  return store.rotate(JSON.stringify(value));
}

async function login(): Promise<unknown> {
  const { rows } = await pool.query('whoami');
  return rows[0]?.login;
}

const adopted = (number: number) => server.until(() => adoptions.at(-1)?.versionId === versionIdOf(number));

describe('a rotation', () => {
  test('fails no query: the old login serves until the new one has connected, and finishes what it began', async () => {
    expect(await login()).toBe('agent_a');
    const running = pool.query('hold');
    await server.until(() => server.held.length === 1);
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    server.gate = gate;
    cache.notice(rotateTo('agent_b'));
    await server.until(() => server.tried.includes('agent_b'));
    const during = pool.query('hold');
    await server.until(() => server.tried.length === 3);
    open();
    await adopted(2);
    expect(await login()).toBe('agent_b');
    await server.until(() => server.held.length === 2);
    for (const { answer } of server.held) answer();
    expect((await running).rows).toEqual([{ login: 'agent_a' }]);
    expect((await during).rows).toEqual([{ login: 'agent_a' }]);
    await server.until(() => server.open('agent_a') === 0);
    expect(await login()).toBe('agent_b');
  });

  test('leaves none behind that waits for a connection of the old login', async () => {
    pool = poolOf({ pool: { max: 1 } });
    const queries = Array.from({ length: 5 }, () => pool.query('hold'));
    await server.until(() => server.held.length === 1);
    cache.notice(rotateTo('agent_b'));
    await adopted(2);
    expect(await login()).toBe('agent_b');
    for (let answered = 0; answered < 5; answered += 1) {
      await server.until(() => server.held.length > answered);
      server.held[answered]?.answer();
    }
    expect((await Promise.all(queries)).map(({ rows }) => rows[0]?.login)).toEqual(Array(5).fill('agent_a'));
    await server.until(() => server.open('agent_a') === 0);
  });

  test('is seen without a notice once the TTL has passed', async () => {
    await login();
    rotateTo('agent_b');
    store.now += 300_000;
    expect(await login()).toBe('agent_a');
    await adopted(2);
    expect(await login()).toBe('agent_b');
  });

  test('lets a transaction finish on the connection that it has', async () => {
    const client = await pool.connect();
    cache.notice(rotateTo('agent_b'));
    await adopted(2);
    expect((await client.query('whoami')).rows).toEqual([{ login: 'agent_a' }]);
    client.release();
    await server.until(() => server.open('agent_a') === 0);
  });

  test('to a login that the server refuses keeps the old one, and is tried again later', async () => {
    await login();
    cache.notice(moveTo('agent_b'));
    await server.until(() => server.tried.filter((username) => username === 'agent_b').length === 2);
    for (let query = 0; query < 20; query += 1) expect(await login()).toBe('agent_a');
    expect(server.tried).toEqual(['agent_a', 'agent_b', 'agent_b']);
    server.logins.set('agent_b', 'p-agent_b');
    store.now += 1_000;
    expect(await login()).toBe('agent_a');
    await adopted(2);
    expect(await login()).toBe('agent_b');
  });

  test('is reported once a version, when its first connection stands', async () => {
    await Promise.all([login(), login(), login()]);
    cache.notice(rotateTo('agent_b'));
    await adopted(2);
    await login();
    expect(adoptions).toEqual([
      { secret, versionId: versionIdOf(1), at: expect.any(Date) },
      { secret, versionId: versionIdOf(2), at: expect.any(Date) },
    ]);
  });
});

describe('a login that the server refuses', () => {
  test('is read again and tried once more, so that a query before any notice does not fail', async () => {
    const held = await pool.connect();
    server.logins.delete('agent_a');
    rotateTo('agent_b');
    expect(await login()).toBe('agent_b');
    held.release();
  });

  test('also on the very first connection', async () => {
    await cache.get(secret);
    server.logins.delete('agent_a');
    rotateTo('agent_b');
    expect(await login()).toBe('agent_b');
  });

  test('twice is an error of the query, without a value in it', async () => {
    server.logins.clear();
    const error: unknown = await login().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(pg.DatabaseError);
    expect(error).toHaveProperty('code', '28P01');
    expect(JSON.stringify(error)).not.toContain('p-agent_a');
    expect(server.tried).toHaveLength(2);
  });
});

describe('while the source is out of reach', () => {
  beforeEach(async () => {
    await login();
    store.failure = new SourceUnreachableError('down');
  });

  test('the open login serves, a notice of another version included, up to the hard bound', async () => {
    cache.notice(rotateTo('agent_b'));
    expect(await login()).toBe('agent_a');
    store.now += 3_590_000;
    expect(await login()).toBe('agent_a');
    store.now += 20_000;
    await expect(login()).rejects.toThrow(SecretUnavailableError);
  });

  test('a secret that turns out to be denied serves no more', async () => {
    store.failure = new SecretDeniedError('denied');
    await expect(cache.refresh(secret)).rejects.toThrow(SecretDeniedError);
    await expect(login()).rejects.toThrow(SecretDeniedError);
  });
});

describe('a pool', () => {
  test('keeps a connection whose query failed, for the next', async () => {
    await expect(pool.query('fail')).rejects.toThrow('syntax');
    expect(await login()).toBe('agent_a');
    expect(server.tried).toHaveLength(1);
  });

  test('outlives a server that drops its connections', async () => {
    await login();
    for (const socket of server.sessions.keys()) socket.destroy();
    await server.until(() => server.sessions.size === 0);
    await expect.poll(login).toBe('agent_a');
  });

  test('closes when what is in use has been released, and takes nothing on after that', async () => {
    const client = await pool.connect();
    const closed = pool[Symbol.asyncDispose]();
    await expect(login()).rejects.toThrow(AgentClosedError);
    client.release();
    await closed;
    await server.until(() => server.sessions.size === 0);
  });

  test('closes after the queries that wait for a connection when it is told to', async () => {
    pool = poolOf({ pool: { max: 1 } });
    const order: string[] = [];
    const queries = Array.from({ length: 3 }, async () => {
      await pool.query('hold');
      order.push('query');
    });
    await server.until(() => server.held.length === 1);
    const closed = pool[Symbol.asyncDispose]().then(() => order.push('closed'));
    for (let answered = 0; answered < 3; answered += 1) {
      await server.until(() => server.held.length > answered);
      server.held[answered]?.answer();
    }
    await Promise.all([...queries, closed]);
    expect(order).toEqual(['query', 'query', 'query', 'closed']);
  });

  test.each([
    [{}, {}],
    [{ ssl: true }, {}],
    [{ ssl: 'true' }, {}],
    [{ ssl: 'false' }, false],
  ])('uses TLS unless the secret says otherwise: %j', async (fields, ssl) => {
    const value = {
      engine: 'postgres',
      host: '127.0.0.1',
      port: `${port}`,
      username: 'agent_a',
      password: 'x',
    };
    store.now += 5_000;
    cache.notice(store.rotate(JSON.stringify({ ...value, ...fields })));
    const configs: pg.PoolConfig[] = [];
    const openPool = (config: pg.PoolConfig) => {
      configs.push(config);
      return new pg.Pool({ ...config, port: 1, max: 1 });
    };
    await expect(poolOf({ openPool }).query('whoami')).rejects.toThrow();
    expect(configs[0]).toMatchObject({ ssl, port });
  });

  test('says which fields of the secret are wrong, and not what they hold', async () => {
    store.now += 5_000;
    cache.notice(store.rotate(JSON.stringify({ engine: 'postgres', username: 'a', password: ['hunter2'] })));
    await expect(login()).rejects.toThrow(
      new SecretMalformedError('The secret is no PostgreSQL login; wrong: host, password'),
    );
  });
});
