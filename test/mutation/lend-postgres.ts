import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { freePort } from '../../local/ports.ts';
import { startPostgres } from '../../local/postgres/server.ts';
import type { LentServer, LentServers } from '../integration/rotation/lent-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    readonly lentPostgres: LentServers;
  }
}

const certificates = join(import.meta.dirname, '..', 'integration', 'rotation', 'certificates');
const pem = (name: string) => readFileSync(join(certificates, name), 'utf8');

/** vitest's globalSetup. Stryker keeps its vitest for all mutants, so the servers are started once a worker of Stryker's. */
export default async function lendPostgres(project: TestProject): Promise<() => Promise<void>> {
  const parts = new AsyncDisposableStack();
  const start = async (
    options: Omit<Parameters<typeof startPostgres>[0], 'port' | 'logFile'>,
  ): Promise<LentServer> => {
    const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-mutation-')), 'postgres.log');
    const server = parts.use(await startPostgres({ ...options, port: await freePort(), logFile }));
    await server.query(`CREATE ROLE keeper SUPERUSER LOGIN PASSWORD 'keeper'`);
    const { pid, port, dataDirectory, url, password } = server;
    const keeperUrl = `postgresql://keeper:keeper@127.0.0.1:${port}/postgres`;
    return { pid, port, dataDirectory, url, password, logFile, keeperUrl };
  };
  const withTls = await start({
    tls: { certificate: pem('server.pem'), key: pem('server.key') },
    settings: { log_statement: 'all', log_connections: 'on' },
  });
  project.provide('lentPostgres', { withTls, plain: await start({}) });
  return () => parts.disposeAsync();
}
