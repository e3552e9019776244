// A session is known to the server that it was opened on, and to no other: what a primary ends, its replicas keep.
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { marking } from '../../../shared/rotators/postgres/roles.ts';
import { adminOf, agentOn, graceEnded, postgresForTests, untroubled } from './setting.ts';
import { standbyOf } from './standby.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
let standby: Awaited<ReturnType<typeof standbyOf>>;
beforeAll(async () => {
  server = await postgresForTests();
  standby = await standbyOf(server);
});
afterAll(async () => {
  await standby[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** An agent that works on the standby, rotated, with a session of its superseded login there. */
async function rotatedOn(group: string) {
  const superseded = (await agentOn(server, group)).with({ port: standby.port });
  await expect.poll(() => postgres.verify(superseded).then(() => 'works')).toBe('works');
  const pending = postgres.stage(superseded, 'dual-user');
  await postgres.apply({ ...untroubled, current: superseded, pending, admin: adminOf(server) });
  const { username, password } = superseded.reveal();
  const session = new pg.Client({
    host: '127.0.0.1',
    port: standby.port,
    database: 'postgres',
    user: String(username),
    password: String(password),
  });
  // That it is ended is told of by its next query.
  session.on('error', () => undefined);
  await session.connect();
  const revoke = (admin: SecretJson) =>
    postgres.revoke({
      ...graceEnded,
      superseded,
      kept: [pending],
      admin,
    });
  return { superseded, session, revoke };
}

const withReplicas = (...replicas: string[]) => adminOf(server).with({ replicas });
const isRefused = (login: SecretJson) =>
  expect(postgres.verify(login)).rejects.toMatchObject({ name: 'CredentialRefusedError' });

it("a superseded login's sessions end on the replicas that the admin secret names, and no new one begins there", async () => {
  const { superseded, session, revoke } = await rotatedOn('reader');
  expect(await revoke(withReplicas(`127.0.0.1:${standby.port}`))).toBe('revoked');
  await expect(session.query('SELECT 1')).rejects.toThrow();
  await isRefused(superseded);
});

it('an adopted login that goes with its twin has its sessions ended there too', async () => {
  await server.query(`CREATE ROLE settled LOGIN PASSWORD 'adopted'`);
  const twin = await agentOn(server, 'settler');
  await server.query('GRANT settled TO settler_a; ALTER ROLE settler_a RENAME TO settled_a');
  await server.query(
    `ALTER ROLE settled_a PASSWORD 'first-password'; ${marking('settled_a', untroubled.version)}`,
  );
  const [adopted, superseded] = ['settled', 'settled_a'].map((username) =>
    twin.with({
      username,
      port: standby.port,
      password: username === 'settled' ? 'adopted' : 'first-password',
    }),
  );
  if (!adopted || !superseded) throw new Error('two logins');
  await expect.poll(() => postgres.verify(adopted).then(() => 'works')).toBe('works');
  const session = new pg.Client({
    host: '127.0.0.1',
    port: standby.port,
    database: 'postgres',
    user: 'settled',
    password: 'adopted',
  });
  session.on('error', () => undefined);
  await session.connect();
  const revocation = {
    ...graceEnded,
    superseded,
    kept: [],
    admin: withReplicas(`127.0.0.1:${standby.port}`),
    supersededVersionIds: new Set([untroubled.version.versionId]),
    earlier: async () => [superseded, adopted],
  };
  expect(await postgres.revoke(revocation)).toBe('revoked');
  await expect(session.query('SELECT 1')).rejects.toThrow();
});

it('a login is not called revoked where the admin secret does not name its replica: the admin goes nowhere else', async () => {
  const { superseded, session, revoke } = await rotatedOn('unnamed');
  await expect(revoke(adminOf(server))).rejects.toMatchObject({
    name: 'InvalidSecretError',
    field: 'replicas',
  });
  await isRefused(superseded.with({ port: server.port }));
  await session.end();
});

it('a login is not called revoked while a replica cannot be reached, or lets it in still', async () => {
  const { session, revoke } = await rotatedOn('lagging');
  const here = `127.0.0.1:${standby.port}`;
  await expect(revoke(withReplicas('127.0.0.1:1', here))).rejects.toMatchObject({
    name: 'TargetUnreachableError',
  });
  await expect(session.query('SELECT 1')).rejects.toThrow();

  const other = await rotatedOn('behind');
  await standby.query('SELECT pg_wal_replay_pause()');
  await expect(other.revoke(withReplicas(here))).rejects.toMatchObject({
    name: 'TargetUnreachableError',
    message: expect.stringContaining('behind'),
  });
  await standby.query('SELECT pg_wal_replay_resume()');
  await expect.poll(() => other.revoke(withReplicas(here))).toBe('revoked');
  await expect(other.session.query('SELECT 1')).rejects.toThrow();
});

it.each([
  ['not a list', 'reader.example'],
  ['a list of something else', [{ host: 'reader.example' }]],
])('replicas that are %s are told of by name, and keep no login valid', async (_, replicas) => {
  const superseded = await agentOn(server, `listed_${typeof replicas}`);
  await server.query(marking(`listed_${typeof replicas}_a`, untroubled.version));
  const admin = adminOf(server).with({ replicas });
  const supersededVersionIds = new Set([untroubled.version.versionId]);
  const revocation = { ...graceEnded, superseded, kept: [], admin, supersededVersionIds };
  await expect(postgres.revoke(revocation)).rejects.toMatchObject({
    name: 'InvalidSecretError',
    field: 'replicas',
  });
  await isRefused(superseded);
});
