import { truncateSync } from 'node:fs';
import pg from 'pg';
import { type Postgres, queryAt } from '../../../local/postgres/server.ts';

/** A server that outlives its test files, since starting one takes longer than they do; see test/mutation. */
export type LentServer = Pick<Postgres, 'pid' | 'port' | 'dataDirectory' | 'url' | 'password'> & {
  readonly logFile: string;
  /** Of a superuser that no test knows: what a test, or a mutant, did to `admin` is undone by it. */
  readonly keeperUrl: string;
};

export interface LentServers {
  readonly withTls: LentServer;
  readonly plain: LentServer;
}

let lent: LentServers | undefined;

/** From now on tests of this process get these, each as it was when it was started. One at a time may use it. */
export function lend(servers: LentServers): void {
  lent = servers;
}

export async function borrowed(
  which: keyof LentServers,
): Promise<(Postgres & { readonly logFile: string }) | undefined> {
  if (!lent) return undefined;
  const server = lent[which];
  await clear(server);
  return { ...server, query: queryAt(server.url), [Symbol.asyncDispose]: async () => undefined };
}

/** What a test left is removed, its open sessions are ended, and `admin` is itself again. */
async function clear(server: LentServer): Promise<void> {
  const client = new pg.Client({ connectionString: server.keeperUrl, connectionTimeoutMillis: 5_000 });
  await client.connect();
  const names = async (sql: string) =>
    (await client.query<{ name: string }>(sql)).rows.map(({ name }) => pg.escapeIdentifier(name));
  try {
    await client.query(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
      WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`);
    for (const name of await names(
      `SELECT datname AS name FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')`,
    )) {
      await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
    }
    await client.query(`DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC;
      GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC`);
    const roles = await names(
      `SELECT rolname AS name FROM pg_roles WHERE rolname !~ '^pg_' AND rolname NOT IN ('admin', 'keeper')`,
    );
    for (const name of roles) await client.query(`DROP OWNED BY ${name} CASCADE`);
    for (const name of roles) await client.query(`DROP ROLE ${name}`);
    await client.query(`ALTER ROLE admin SUPERUSER LOGIN PASSWORD ${pg.escapeLiteral(server.password)}`);
    await client.query('ALTER ROLE admin RESET ALL; COMMENT ON ROLE admin IS NULL');
  } finally {
    await client.end();
  }
  truncateSync(server.logFile);
}
