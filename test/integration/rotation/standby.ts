import { spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { reapedAfterUs, startPart } from '../../../local/child.ts';
import { freePort } from '../../../local/ports.ts';
import { binaries, nobody, type Postgres, queryAt } from '../../../local/postgres/server.ts';
import { until } from '../../../local/until.ts';

/** A standby that streams from a server, begun with a copy of its data; what is asked of it is asked as `admin`. */
export async function standbyOf(
  primary: Postgres,
): Promise<Pick<Postgres, 'port' | 'query'> & AsyncDisposable> {
  const home = mkdtempSync(join(tmpdir(), 'keyturn-standby-'));
  const forget = reapedAfterUs(`folder ${home}`);
  const data = join(home, 'data');
  own(home);
  await copied(primary, data);
  const port = await freePort();
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: home,
    max_connections: 300,
    primary_conninfo: `host=127.0.0.1 port=${primary.port} user=admin password=${primary.password}`,
  };
  const { postgres } = await binaries();
  const part = startPart(
    postgres,
    ['-D', data, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
    { ...nobody, cwd: home, logFile: join(home, 'postgres.log'), stopSignal: 'SIGINT' },
  );
  const query = queryAt(`postgresql://admin:${primary.password}@127.0.0.1:${port}/postgres`);
  await until('the standby answers', () => query('SELECT 1'));
  return {
    port,
    query,
    async [Symbol.asyncDispose]() {
      await part[Symbol.asyncDispose]();
      rmSync(home, { recursive: true, force: true });
      forget();
    },
  };
}

/** A base backup, as pg_basebackup makes it; that program is not among the binaries that we have. */
async function copied({ url, dataDirectory }: Postgres, to: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`SELECT pg_backup_start('standby', true)`);
    copy(dataDirectory, to);
    rmSync(join(to, 'postmaster.pid'));
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
    const added = { backup_label: rows[0]?.labelfile ?? '', 'standby.signal': '' };
    for (const [name, text] of Object.entries(added)) {
      writeFileSync(join(to, name), text);
      own(join(to, name));
    }
    // What was written while it was copied.
    copy(join(dataDirectory, 'pg_wal', '.'), join(to, 'pg_wal'));
  } finally {
    await client.end();
  }
}

/** Gives it to the server's own user. */
function own(path: string): void {
  const { uid, gid } = nobody;
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
}

/** As the server's own user, whose the copy has to be. */
function copy(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-R', from, to], { ...nobody, encoding: 'utf8' });
  // What is removed while it is copied is none of the backup's.
  if (status !== 0 && !/No such file/.test(stderr)) throw new Error(`cp failed: ${stderr}`);
}
