// A login that is to be revoked may do all that PostgreSQL lets a login without rights do, to keep its revocation from happening.
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { marking } from '../../../shared/rotators/postgres/roles.ts';
import { adminOf, asAgent, graceEnded, loginOn, postgresForTests, sessionOf, untroubled } from './setting.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
let admin: SecretJson;
beforeAll(async () => {
  server = await postgresForTests();
  // No superuser, as on a managed server.
  await server.query(`CREATE ROLE chief LOGIN CREATEROLE PASSWORD 'chief' IN ROLE pg_signal_backend`);
  admin = loginOn(server, 'chief', 'chief');
});
afterAll(() => server[Symbol.asyncDispose]());

/** An agent's first login, made by the admin. */
async function agentOf(group: string): Promise<SecretJson> {
  const client = await sessionOf(admin);
  await client.query(`CREATE ROLE ${group} NOLOGIN; CREATE ROLE ${group}_a LOGIN PASSWORD 'first' IN ROLE ${group};
    ALTER ROLE ${group}_a SET role = '${group}'; ${marking(`${group}_a`, untroubled.version)}`);
  await client.end();
  return loginOn(server, `${group}_a`, 'first');
}

/** One that owns its database, and a session of it there. */
async function ownerOf(group: string): Promise<readonly [SecretJson, pg.Client]> {
  await server.query(`DROP DATABASE IF EXISTS ${group} WITH (FORCE)`);
  await server.query(`DROP ROLE IF EXISTS ${group}, ${group}_a, ${group}_b`);
  const agent = (await agentOf(group)).with({ dbname: group });
  await server.query(`CREATE DATABASE ${group} OWNER ${group}`);
  return [agent, await sessionOf(agent)];
}

const revoke = (superseded: SecretJson, kept: SecretJson[] = [], by = admin) =>
  postgres.revoke({
    ...graceEnded,
    superseded,
    kept,
    admin: by,
    supersededVersionIds: new Set([untroubled.version.versionId]),
    earlier: async () => [],
  });
const apply = (current: SecretJson, pending: SecretJson) =>
  postgres.apply({ ...untroubled, current, pending, admin });

const isRefused = (login: SecretJson) =>
  expect(postgres.verify(login)).rejects.toMatchObject({ name: 'CredentialRefusedError' });
const isEnded = (session: pg.Client) => expect(session.query('SELECT 1')).rejects.toThrow();

/** What a session does and then rests, holding the lock that it took. */
const takesTheLock = async (session: pg.Client, group: string) => {
  await session.query(`SELECT pg_advisory_lock(hashtextextended('keyturn:${group}', 0))`);
};
const altersItself = async (session: pg.Client, group: string) => {
  await session.query('SET ROLE NONE');
  await session.query('BEGIN');
  await session.query(`ALTER ROLE ${group}_a PASSWORD 'mine'`);
};

describe('a login is revoked', () => {
  it.each([
    ["takes its agent's lock", takesTheLock],
    ['alters itself in a transaction that it leaves open', altersItself],
  ])('although a session of it %s', async (what, resist) => {
    const group = `resists_${what.length}`;
    const agent = await agentOf(group);
    const session = await sessionOf(agent);
    await resist(session, group);
    expect(await revoke(agent)).toBe('revoked');
    await isRefused(agent);
    await isEnded(session);
  });

  it("although another agent's sessions hold its lock, and wait for it", async () => {
    const [agent, other] = [await agentOf('victim'), await agentOf('bully')];
    const [holds, waits] = [await sessionOf(other), await sessionOf(other)];
    await takesTheLock(holds, 'victim');
    // It may have the lock for the instant between the other session's end and its own.
    const waiting = Promise.allSettled([takesTheLock(waits, 'victim')]);
    const queued = () => server.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`);
    await expect.poll(queued).toHaveLength(1);
    expect(await revoke(agent)).toBe('revoked');
    await waiting;
    for (const session of [holds, waits]) await isEnded(session);
    await isRefused(agent);
  });

  it('although a session of it alters it in a transaction left open, and others wait for that', async () => {
    const agent = await agentOf('chained');
    const holder = await sessionOf(agent);
    await altersItself(holder, 'chained');
    const others = await Promise.all([sessionOf(agent), sessionOf(agent), sessionOf(agent)]);
    const waiting = Promise.allSettled(others.map((session) => altersItself(session, 'chained')));
    const waiters = () =>
      server.query(`SELECT FROM pg_stat_activity WHERE usename = 'chained_a' AND wait_event_type = 'Lock'`);
    await expect.poll(waiters).toHaveLength(others.length);
    expect(await revoke(agent)).toBe('revoked');
    await waiting;
    for (const session of [holder, ...others]) await isEnded(session);
    await isRefused(agent);
  });

  it('although its sessions alter it over and over', async () => {
    const agent = await agentOf('restless');
    const sessions = await Promise.all(Array.from({ length: 8 }, () => sessionOf(agent)));
    const over = sessions.map(async (session) => {
      await session.query('SET ROLE NONE');
      for (;;) await session.query(`ALTER ROLE restless_a PASSWORD NULL`).catch(passOver);
    });
    const ended = Promise.allSettled(over);
    expect(await revoke(agent)).toBe('revoked');
    await ended;
    await isRefused(agent);
  });
});

describe('where the agent owns its database', () => {
  it.each([
    "role = 'owner_a'",
    "session_authorization = 'owner_a'",
    'default_transaction_read_only = on',
    "search_path = 'nowhere'",
  ])('a session of the admin begins as it should, whatever the database sets: %s', async (setting) => {
    const [agent] = await ownerOf('owner');
    await asAgent(agent, `ALTER DATABASE owner SET ${setting}`);
    const pending = postgres.stage(agent, 'dual-user');
    await apply(agent, pending);
    expect(await revoke(agent, [pending])).toBe('revoked');
    await isRefused(agent);
  });

  it('a lock is waited for as long as elsewhere', async () => {
    const [agent, session] = await ownerOf('hasty');
    await session.query("ALTER DATABASE hasty SET lock_timeout = '1ms'");
    await takesTheLock(session, 'hasty');
    expect(await revoke(agent)).toBe('revoked');
    await isEnded(session);
  });
});

describe("where the agent's database lets nobody in any more", () => {
  it.each([
    ['was dropped', 'DROP DATABASE gone'],
    ['was renamed', 'ALTER DATABASE gone RENAME TO gone_elsewhere'],
    ['takes no connections', 'ALTER DATABASE gone ALLOW_CONNECTIONS false'],
    ['has no connection left', 'ALTER DATABASE gone CONNECTION LIMIT 0'],
    ['may be connected to by its owner only', 'REVOKE CONNECT ON DATABASE gone FROM PUBLIC'],
  ])('a login is revoked: it %s', async (_, statement) => {
    await server.query('DROP DATABASE IF EXISTS gone_elsewhere');
    const [agent, session] = await ownerOf('gone');
    await session.end();
    await server.query(statement);
    expect(await revoke(agent)).toBe('revoked');
    const [role] = await server.query(`SELECT rolcanlogin FROM pg_roles WHERE rolname = 'gone_a'`);
    expect(role).toEqual({ rolcanlogin: false });
  });

  it.each([
    { where: 'in the database that the admin secret names', dbname: 'chief', expected: 'chief' },
    { where: "in 'postgres', where that is gone too", dbname: 'nowhere', expected: 'postgres' },
    { where: "in 'postgres', where the admin secret names none", dbname: undefined, expected: 'postgres' },
  ])('a login is revoked $where', async ({ dbname, expected }) => {
    await server.query('DROP DATABASE IF EXISTS chief');
    await server.query('CREATE DATABASE chief');
    const group = `unhoused_${expected}_${String(dbname)}`;
    const agent = (await agentOf(group)).with({ dbname: 'elsewhere' });
    const lock = await lockedIn(expected, group);
    const revoked = revoke(agent, [], loginOn(server, 'chief', 'chief', { dbname }));
    await isAwaited();
    await lock.end();
    expect(await revoked).toBe('revoked');
  });

  it('the logins of its server are listed', async () => {
    await agentOf('listed');
    const names = (await postgres.logins(admin.with({ dbname: 'nowhere' }))).map(({ name }) => name);
    expect(names).toContain('listed_a');
  });

  it('a login that is no admin goes to no other', async () => {
    const agent = (await agentOf('stays')).with({ dbname: 'nowhere' });
    await expect(postgres.verify(agent)).rejects.toMatchObject({ code: '3D000' });
  });
});

it("a revocation takes its agent's lock where a rotation takes it, though the superseded login had another database", async () => {
  const first = await agentOf('relocated');
  const second = postgres.stage(first, 'dual-user');
  await apply(first, second);
  await server.query('CREATE DATABASE relocated');
  const lock = await lockedIn('relocated', 'relocated');
  const revoked = revoke(first, [second.with({ dbname: 'relocated' })]);
  await isAwaited();
  await lock.end();
  expect(await revoked).toBe('revoked');
});

/** An administrator's session that has an agent's lock, in a database. */
async function lockedIn(dbname: string, group: string): Promise<pg.Client> {
  const session = await sessionOf(adminOf(server).with({ dbname }));
  await takesTheLock(session, group);
  return session;
}

const isAwaited = () =>
  expect
    .poll(() => server.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`))
    .toHaveLength(1);

/** Of two at the same time PostgreSQL refuses one. */
function passOver(error: unknown): void {
  const isRefusal = error instanceof Error && 'code' in error && error.code === 'XX000';
  if (!isRefusal) throw error;
}

describe('a rotation goes on', () => {
  it('although a session of the current login holds the lock, and the session of the twin alters the twin', async () => {
    const first = await agentOf('twofold');
    const second = postgres.stage(first, 'dual-user');
    await apply(first, second);
    const third = postgres.stage(second, 'dual-user');
    const [ofFirst, ofSecond] = [await sessionOf(first), await sessionOf(second)];
    await altersItself(ofFirst, 'twofold');
    await takesTheLock(ofSecond, 'twofold');
    await apply(second, third);
    await postgres.verify(third);
    await isEnded(ofFirst);
  });
});

describe('no session is ended', () => {
  it('that holds none of these locks, whatever else it holds', async () => {
    const agent = await agentOf('behaves');
    const pending = postgres.stage(agent, 'dual-user');
    const [holds, works] = [await sessionOf(await agentOf('holds')), await sessionOf(agent)];
    await works.query('BEGIN');
    await works.query('SELECT pg_advisory_xact_lock(1)');
    await takesTheLock(holds, 'behaves');
    await apply(agent, pending);
    await isEnded(holds);
    expect((await works.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await works.end();
  });

  it("that is of a login that may alter roles: another administrator's transaction is waited for", async () => {
    const agent = await agentOf('administered');
    await server.query(`CREATE ROLE operator LOGIN CREATEROLE PASSWORD 'operator'`);
    const operator = await sessionOf(loginOn(server, 'operator', 'operator'));
    await takesTheLock(operator, 'administered');
    await expect(revoke(agent)).rejects.toMatchObject({ name: 'TargetUnreachableError' });
    await operator.end();
    expect(await revoke(agent)).toBe('revoked');
  });
});
