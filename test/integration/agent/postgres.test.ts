import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { RotatingPool } from '../../../agent/postgres.ts';
import { freePort } from '../../../local/ports.ts';
import { type Postgres, startPostgres } from '../../../local/postgres/server.ts';
import { cacheOver, Store, secret } from '../../unit/agent/setting.ts';

let server: Postgres;
let store: Store;

beforeAll(async () => {
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'postgres.log');
  server = await startPostgres({ port: await freePort(), logFile });
});
afterAll(async () => server?.[Symbol.asyncDispose]());
beforeEach(() => {
  store = new Store();
  const login = { engine: 'postgres', host: '127.0.0.1', port: server.port, dbname: 'postgres', ssl: false };
  store.rotate(JSON.stringify({ ...login, username: 'admin', password: server.password }));
});

const poolOfOne = () => new RotatingPool({ cache: cacheOver(store), secretId: secret, pool: { max: 1 } });
const backend = async (pool: RotatingPool) =>
  (await pool.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;

test('a connection that the server ends under a query fails that query alone', async () => {
  await using pool = poolOfOne();
  const ended = await backend(pool);
  await expect(pool.query('select pg_terminate_backend(pg_backend_pid())')).rejects.toMatchObject({
    code: '57P01',
  });
  expect(await backend(pool)).not.toBe(ended);
});

test('a connection on which a statement failed serves the next', async () => {
  await using pool = poolOfOne();
  const own = await backend(pool);
  await expect(pool.query('select 1 / 0')).rejects.toThrow(pg.DatabaseError);
  expect(await backend(pool)).toBe(own);
});
