import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../../local/ports.ts';
import { type Postgres, startPostgres } from '../../../local/postgres/server.ts';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { borrowed } from './lent-server.ts';

export const secretJson = (fields: object): SecretJson =>
  SecretJson.parse(SecretValue.of(JSON.stringify(fields)));

/** A server with nothing on it: one of its own, or one that was lent, which has a TLS certificate where one is asked for. */
export async function postgresForTests(
  options: Omit<Parameters<typeof startPostgres>[0], 'port' | 'logFile'> = {},
): Promise<Postgres & { readonly logFile: string }> {
  const lent = await borrowed(options.tls || options.settings ? 'withTls' : 'plain');
  if (lent) return lent;
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'postgres.log');
  return { ...(await startPostgres({ ...options, port: await freePort(), logFile })), logFile };
}

/** The secret of a login on that server. */
export const loginOn = (server: Postgres, username: string, password: string, more: object = {}) =>
  secretJson({
    engine: 'postgres',
    host: '127.0.0.1',
    port: server.port,
    dbname: 'postgres',
    username,
    password,
    ssl: false,
    ...more,
  });

export const adminOf = (server: Postgres) => loginOn(server, 'admin', server.password);

/** A database for one test, with a group that owns a table, and its first login. */
export async function agentOn(server: Postgres, group: string) {
  const password = 'first-password';
  await server.query(`CREATE ROLE ${group} NOLOGIN; GRANT CREATE ON SCHEMA public TO ${group};
    CREATE ROLE ${group}_a LOGIN PASSWORD '${password}' IN ROLE ${group}; ALTER ROLE ${group}_a SET role = '${group}';
    CREATE TABLE ${group}_orders (id int); ALTER TABLE ${group}_orders OWNER TO ${group}`);
  return loginOn(server, `${group}_a`, password);
}

/** What a rotator is told besides the credentials, in a rotation that follows no other that was given up. */
export const untroubled = {
  earlier: async () => [],
  version: {
    secretArn: 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:agents/one/credentials-AbCdEf',
    versionId: '11111111-1111-4111-8111-111111111111',
    createdAt: new Date('2026-01-01T00:00:01.001Z'),
  },
  currentCreatedAt: new Date('2100-01-01T00:00:00Z'),
  ensureAbandoned: async (versionId: string) => {
    throw new Error(`nobody gave up ${versionId}`);
  },
};

/** What a rotator is told besides at the end of a grace period, where no rotation after it was given up. */
export const graceEnded = {
  secretArn: untroubled.version.secretArn,
  currentCreatedAt: untroubled.currentCreatedAt,
  supersededVersionIds: new Set<string>(),
  isAbandoned: async (versionId: string): Promise<boolean> => {
    throw new Error(`nobody gave up ${versionId}`);
  },
  earlier: async (): Promise<SecretJson[]> => [],
};

/** A session that stays open. That it is ended is told of by its next query. */
export async function sessionOf(login: SecretJson): Promise<pg.Client> {
  const { host, port, dbname, username, password } = login.reveal();
  const session = new pg.Client({
    host: String(host),
    port: Number(port),
    database: String(dbname),
    user: String(username),
    password: String(password),
  });
  session.on('error', () => undefined);
  await session.connect();
  return session;
}

/** Statements as an agent with that secret would send them. */
export async function asAgent(secret: SecretJson, ...statements: string[]) {
  const { host, port, dbname, username, password } = secret.reveal();
  const client = new pg.Client({
    host: String(host),
    port: Number(port),
    database: String(dbname),
    user: String(username),
    password: String(password),
  });
  try {
    await client.connect();
    const results = [];
    for (const sql of statements) results.push((await client.query<Record<string, unknown>>(sql)).rows);
    return results.at(-1);
  } finally {
    await client.end();
  }
}
