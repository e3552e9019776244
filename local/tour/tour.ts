import { InvokeCommand } from '@aws-sdk/client-lambda';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  RotateSecretCommand,
} from '@aws-sdk/client-secrets-manager';
import pg from 'pg';
import * as z from 'zod';
import type { Clients } from '../stack/clients.ts';
import type { Stack } from '../stack/start.ts';
import { until } from '../until.ts';
import type { Feed } from './feed.ts';
import type { RunningAgent } from './fleet.ts';
import type { Agent } from './provision.ts';
import type { Check } from './report.ts';

/** What the chapters of the tour share. */
export interface Tour {
  readonly stack: Stack;
  readonly clients: Clients;
  readonly fleet: readonly RunningAgent[];
  readonly feed: Feed;
  readonly say: (line: string) => void;
  readonly checks: Check[];
  /** When AWSCURRENT came onto each version, by this machine's clock, in milliseconds. */
  readonly movedAt: ReadonlyMap<string, number>;
  readonly propagationMs: number[];
  /** The logins that rotations have superseded, and that are to be refused in the end. */
  readonly superseded: Login[];
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

const login = z.object({ username: z.string(), password: z.string() });

/** Waits for something that should come true. Whether it did is the check. */
export async function expectThat(
  { checks, say }: Tour,
  name: string,
  condition: () => Promise<unknown>,
  timeoutMs = 30_000,
): Promise<boolean> {
  const ok = await until(name, async () => Boolean(await condition()), timeoutMs).then(
    () => true,
    () => false,
  );
  checks.push({ name, ok });
  if (!ok) say(`FAILED: ${name}`);
  return ok;
}

export async function currentLogin(
  { clients }: Pick<Tour, 'clients'>,
  { secretArn }: Agent,
): Promise<Login & { versionId: string }> {
  const { SecretString = '', VersionId = '' } = await clients.secretsManager.send(
    new GetSecretValueCommand({ SecretId: secretArn }),
  );
  return { ...login.parse(JSON.parse(SecretString)), versionId: VersionId };
}

export async function labelsOf(
  { clients }: Pick<Tour, 'clients'>,
  { secretArn }: Agent,
): Promise<Readonly<Record<string, readonly string[]>>> {
  const { VersionIdsToStages = {} } = await clients.secretsManager.send(
    new DescribeSecretCommand({ SecretId: secretArn }),
  );
  return VersionIdsToStages;
}

export async function rotateNow({ clients }: Pick<Tour, 'clients'>, { secretArn }: Agent): Promise<string> {
  const { VersionId = '' } = await clients.secretsManager.send(
    new RotateSecretCommand({ SecretId: secretArn }),
  );
  return VersionId;
}

/** Waits until a rotation has arrived everywhere: the label, the agent's own queries, the event, the mirror. */
export async function arrived(
  tour: Tour,
  running: RunningAgent,
  versionId: string,
  before: Login,
  { mirror = true } = {},
): Promise<void> {
  const { agent, logins } = running;
  const { feed, movedAt, propagationMs, say } = tour;
  await until(`${agent.id}: AWSCURRENT moved`, async () => movedAt.has(versionId));
  const moved = movedAt.get(versionId) ?? Number.NaN;
  const { username } = await currentLogin(tour, agent);
  const adopted = await until(`${agent.id} uses ${username}`, async () =>
    logins.find((used) => used.login === username && used.at >= moved),
  );
  propagationMs.push(adopted.at - moved);
  tour.superseded.push({ username: before.username, password: before.password });
  say(`${agent.id}: first query as ${username} ${adopted.at - moved} ms after the label moved`);
  await until(`${agent.id}: "Secret Rotated"`, async () =>
    feed.events.some(
      ({ type, detail }) => type === 'Secret Rotated' && detail.currentVersionId === versionId,
    ),
  );
  if (mirror) await until(`${agent.id}: the mirror follows`, () => mirrorHolds(tour, agent, versionId));
}

const metadata = z.object({
  data: z.object({ custom_metadata: z.record(z.string(), z.string()).nullish() }),
});

/** Whether the mirror in Vault is of this version. */
export async function mirrorHolds(
  { stack }: Pick<Tour, 'stack'>,
  { secret }: Agent,
  versionId: string,
): Promise<boolean> {
  const answer = metadata.parse(await stack.openBao.request('GET', `secret/metadata/${secret}`));
  return Object.values(answer.data.custom_metadata ?? {}).includes(versionId);
}

/** Whether PostgreSQL takes a login. Anything but yes and a plain refusal is an error. */
export async function takes({ stack }: Pick<Tour, 'stack'>, { username, password }: Login): Promise<boolean> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: stack.postgres.port,
    user: username,
    password,
    database: 'postgres',
  });
  try {
    await client.connect();
    return true;
  } catch (error) {
    if (error instanceof pg.DatabaseError && ['28P01', '28000'].includes(error.code ?? '')) return false;
    throw error;
  } finally {
    await client.end();
  }
}

/** Runs the health check now, as its schedule does each minute. */
export async function checkHealth({ clients }: Pick<Tour, 'clients'>): Promise<void> {
  await clients.lambda.send(
    new InvokeCommand({ FunctionName: 'keyturn-local-check-backend-health', Payload: Buffer.from('{}') }),
  );
}
