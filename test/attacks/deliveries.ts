import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import * as z from 'zod';
import { mirrorAppRole } from '../../local/openbao/approle.ts';
import { startOpenBao } from '../../local/openbao/server.ts';
import { freePort } from '../../local/ports.ts';
import { postgresForTests } from '../integration/rotation/setting.ts';
import { deploy, type Outcome } from './deployment.ts';
import { canaries, messageOf, type Setting } from './scenarios.ts';

/** The functions as deployed, with a PostgreSQL and an OpenBao of their own, which end with `parts`. */
export async function startSetting(parts: AsyncDisposableStack): Promise<Setting> {
  const server = parts.use(await postgresForTests());
  await server.query(`CREATE ROLE boss SUPERUSER LOGIN PASSWORD ${pg.escapeLiteral(canaries.admin)}`);
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-attacks-')), 'bao.log');
  const bao = parts.use(await startOpenBao({ port: await freePort({ next: true }), logFile }));
  const appRole = await mirrorAppRole(bao);
  const deployment = parts.use(await deploy({ vaultUrl: bao.url }));
  return { deployment, server, appRole, vault: bao.request };
}

/** The event of an invocation: the message of a queue is one in a text. */
export const opened = (event: unknown): unknown => {
  const queued = z.object({ Records: z.tuple([z.object({ body: z.string() })]) }).safeParse(event);
  return queued.success ? JSON.parse(queued.data.Records[0].body) : event;
};
/** What a function is invoked with for events: of a queue several, of anything else one. */
export const closed = (name: string, ...events: readonly unknown[]) =>
  name === 'sync-vault-mirror' ? { Records: events.map(messageOf) } : events[0];

/** Whether a delivery comes again. */
export const isFailed = ({ answer, error }: Outcome) =>
  error !== undefined ||
  (z.object({ batchItemFailures: z.array(z.unknown()) }).safeParse(answer).data?.batchItemFailures.length ??
    0) > 0;
