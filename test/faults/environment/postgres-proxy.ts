import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPart } from '../../../local/child.ts';
import { freePort } from '../../../local/ports.ts';
import { root } from '../../../local/root.ts';
import { until } from '../../../local/until.ts';
import type { Fault } from '../../integration/microburst.ts';

export interface PostgresProxy extends AsyncDisposable {
  readonly port: number;
  inject(faults: readonly Fault[]): Promise<void>;
}

/** Starts microburst in front of a PostgreSQL server: it refuses, breaks and stalls in PostgreSQL's own wire format. */
export async function startPostgresProxy(upstreamPort: number): Promise<PostgresProxy> {
  const [port, controlPort] = [await freePort(), await freePort()];
  const part = startPart(
    join(root, '.keyturn/venv/test/bin/microburst'),
    ['--protocol', 'postgres', '--port', `${port}`, '--control-port', `${controlPort}`].concat(
      '--upstream',
      `127.0.0.1:${upstreamPort}`,
    ),
    { logFile: join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'microburst-postgres.log') },
  );
  const rules = async (body: readonly Fault[]) => {
    const url = `http://127.0.0.1:${controlPort}/_microburst/rules`;
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`microburst refused the rules: ${answer.status}`);
    return true;
  };
  try {
    await until('microburst answers', () => rules([]));
  } catch (error) {
    await part[Symbol.asyncDispose]();
    throw error;
  }
  return { ...part, port, inject: async (faults) => void (await rules(faults)) };
}
