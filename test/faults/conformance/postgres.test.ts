// The simulation's PostgreSQL must answer as a real one does, in everything that the code under test relies on.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { freePort } from '../../../local/ports.ts';
import { startPostgres } from '../../../local/postgres/server.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { endBlockers } from '../../../shared/rotators/postgres/blockers.ts';
import { inTransaction } from '../../../shared/rotators/postgres/connection.ts';
import { copySettings } from '../../../shared/rotators/postgres/login-settings.ts';
import {
  identifier,
  isMember,
  literal,
  lockGroup,
  markRole,
  roleOf,
  secretMark,
} from '../../../shared/rotators/postgres/roles.ts';
import { scramVerifier } from '../../../shared/rotators/postgres/scram.ts';
import { untroubled } from '../../integration/rotation/setting.ts';
import { PostgresModel } from '../simulation/postgres-model.ts';
import { modelServer, realServer, refusalOf, type Server, type Session } from './postgres-server.ts';

const parts = new AsyncDisposableStack();
afterAll(() => parts.disposeAsync());

const salt = Buffer.alloc(16, 7);
const { secretArn } = untroubled.version;
const v1 = { secretArn, versionId: 'v1', createdAt: new Date('2026-01-01T00:00:01.001Z') };
const v2 = { secretArn, versionId: 'v2', createdAt: new Date('2026-01-01T00:00:01.002Z') };
const verifierOf = (password: string) => scramVerifier(SecretValue.of(password), salt);

async function model(): Promise<Server> {
  const roles = new PostgresModel();
  roles.create('admin', { login: true, verifier: verifierOf('admin') });
  return modelServer(roles);
}

async function real(): Promise<Server> {
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-conformance-')), 'postgres.log');
  const server = parts.use(
    await startPostgres({ port: await freePort(), logFile, settings: { max_connections: '12' } }),
  );
  return realServer(server.port, server.query);
}

describe.each([
  ['the model', model],
  ['a real server', real],
])('PostgreSQL: %s', (_, start) => {
  let server: Server;
  let admin: Session;
  let names = 0;
  const newName = () => {
    names += 1;
    return `role ${names}`;
  };
  beforeAll(async () => {
    server = await start();
    admin = await server.logIn('admin', 'admin');
    parts.defer(() => admin.end());
  });

  const login = async (password = 'first') => {
    const name = newName();
    await server.create(name, { login: true, verifier: verifierOf(password) });
    return name;
  };
  /** As setTwin does. */
  const makeTwin = async (by: Session, twin: string, group: string, password: string) => {
    await by.query(`CREATE ROLE ${identifier(twin)} LOGIN INHERIT PASSWORD ${literal(verifierOf(password))}`);
    await by.query(`GRANT ${identifier(group)} TO ${identifier(twin)} WITH INHERIT TRUE, SET TRUE`);
    await by.query(`ALTER ROLE ${identifier(twin)} SET role = ${literal(group)}`);
  };
  const sessionOf = (session: Session) =>
    session.query('SELECT current_user::text AS role, session_user::text AS login');
  const lets = async (user: string, password: string) => {
    const session = await server.logIn(user, password);
    const seen = await sessionOf(session);
    await session.end();
    return seen;
  };

  test('a login works with its password and no other', async () => {
    const name = await login();
    expect(await lets(name, 'first')).toEqual([{ role: name, login: name }]);
    expect(await refusalOf(server.logIn(name, 'second'))).toBe('28P01');
    expect(await refusalOf(server.logIn('nobody', 'first'))).toBe('28P01');
  });

  test('a login that is locked is told so, if it knows its password', async () => {
    const name = newName();
    await server.create(name, { login: false, verifier: verifierOf('first') });
    expect(await refusalOf(server.logIn(name, 'first'))).toBe('28000');
    expect(await refusalOf(server.logIn(name, 'second'))).toBe('28P01');
  });

  test('a server without a connection left refuses each login, whoever it is; its sessions go on, and what ends makes room', async () => {
    const name = await login();
    const session = await server.logIn(name, 'first');
    {
      await using _full = await server.fill();
      expect(await refusalOf(server.logIn(name, 'first'))).toBe('53300');
      expect(await refusalOf(server.logIn(name, 'second'))).toBe('53300');
      expect(await refusalOf(server.logIn('nobody', 'first'))).toBe('53300');
      expect(await refusalOf(server.logIn('admin', 'admin'))).toBe('53300');
      expect(await sessionOf(session)).toEqual([{ role: name, login: name }]);
      await admin.query(`ALTER ROLE ${identifier(name)} PASSWORD ${literal(verifierOf('second'))}`);
    }
    await session.end();
    expect(await refusalOf(server.logIn(name, 'first'))).toBe('28P01');
    expect(await lets(name, 'second')).toEqual([{ role: name, login: name }]);
  });

  test('a password that a policy refuses changes nothing, ends its transaction, and keeps no login from being locked', async () => {
    const [name, twin] = [await login(), newName()];
    const mine = await server.logIn('admin', 'admin');
    using _policy = await server.withPolicy(mine);
    // passwordcheck sees verifiers alone, and knows one of the login's own name.
    const refused = (role: string) =>
      `${identifier(role)} LOGIN INHERIT PASSWORD ${literal(verifierOf(role))}`;
    const alter = `ALTER ROLE ${identifier(name)} PASSWORD ${literal(verifierOf(name))}`;
    expect(await refusalOf(mine.query(alter))).toBe('22023');
    expect(await refusalOf(mine.query(`ALTER ROLE ${refused(name)}`))).toBe('22023');
    expect(await refusalOf(mine.query(`CREATE ROLE ${refused(twin)}`))).toBe('22023');
    expect(await roleOf(admin, twin)).toBeUndefined();
    await mine.query('BEGIN');
    await markRole(mine, name, v1);
    expect(await refusalOf(mine.query(alter))).toBe('22023');
    expect(await refusalOf(roleOf(mine, name))).toBe('25P02');
    await mine.query('COMMIT');
    expect(await lets(name, 'first')).toEqual([{ role: name, login: name }]);
    expect((await roleOf(admin, name))?.versionId).toBeUndefined();
    await mine.query(`ALTER ROLE ${identifier(name)} NOLOGIN PASSWORD NULL`);
    expect(await refusalOf(server.logIn(name, 'first'))).toBe('28P01');
    await mine.end();
  });

  test('a revoked login is refused, its sessions go on until they are ended', async () => {
    const name = await login();
    const session = await server.logIn(name, 'first');
    await admin.query(`ALTER ROLE ${identifier(name)} NOLOGIN PASSWORD NULL`);
    expect(await refusalOf(server.logIn(name, 'first'))).toBe('28P01');
    expect(await session.query('SELECT 1')).toHaveLength(1);
    const ended = await admin.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1',
      [name],
    );
    expect(ended).toEqual([{ pg_terminate_backend: true }]);
    expect(await refusalOf(session.query('SELECT 1'))).toBeDefined();
    expect(await roleOf(admin, name)).toMatchObject({ canLogIn: false });
  });

  test('a revoked login comes back with a new password, with its grants', async () => {
    const [group, twin] = [await login(), newName()];
    await makeTwin(admin, twin, group, 'first');
    await admin.query(`ALTER ROLE ${identifier(twin)} NOLOGIN PASSWORD NULL`);
    await admin.query(
      `ALTER ROLE ${identifier(twin)} LOGIN INHERIT PASSWORD ${literal(verifierOf('second'))}`,
    );
    expect(await lets(twin, 'second')).toEqual([{ role: group, login: twin }]);
    expect(await refusalOf(server.logIn(twin, 'first'))).toBe('28P01');
  });

  test("a twin works in its group's role, by membership", async () => {
    const [group, twin] = [await login(), newName()];
    await makeTwin(admin, twin, group, 'first');
    const session = await server.logIn(twin, 'first');
    expect(await sessionOf(session)).toEqual([{ role: group, login: twin }]);
    const inherits = `SELECT pg_has_role(session_user, to_regrole($1), 'USAGE') AS inherits`;
    expect(await session.query(inherits, [identifier(group)])).toEqual([{ inherits: true }]);
    expect(await session.query(inherits, [identifier('nobody')])).toEqual([{ inherits: null }]);
    await session.query('SET ROLE NONE');
    expect(await sessionOf(session)).toEqual([{ role: twin, login: twin }]);
    await session.end();
    expect(await isMember(admin, twin, group)).toBe(true);
    expect(await isMember(admin, group, twin)).toBe(false);
    expect(await isMember(admin, twin, 'nobody')).toBe(false);
  });

  test('a login whose role is set to a group that it is no member of works in its own', async () => {
    const [group, name] = [await login(), newName()];
    await server.create(name, { login: true, verifier: verifierOf('first'), setRole: group });
    expect(await lets(name, 'first')).toEqual([{ role: name, login: name }]);
    const session = await server.logIn(name, 'first');
    expect(
      await session.query(`SELECT pg_has_role(session_user, to_regrole($1), 'USAGE') AS inherits`, [
        identifier(group),
      ]),
    ).toEqual([{ inherits: false }]);
    await session.end();
  });

  test('a session that stands in another role changes its own password after SET ROLE NONE', async () => {
    const [group, twin] = [await login(), newName()];
    await makeTwin(admin, twin, group, 'first');
    const session = await server.logIn(twin, 'first');
    await session.query('SET ROLE NONE');
    await session.query(`ALTER ROLE ${identifier(twin)} PASSWORD ${literal(verifierOf('second'))}`);
    await session.end();
    expect(await refusalOf(server.logIn(twin, 'first'))).toBe('28P01');
    expect(await lets(twin, 'second')).toEqual([{ role: group, login: twin }]);
  });

  describe("a login's settings", () => {
    const stored = async (name: string) => {
      const rows = await admin.query(
        `SELECT r.rolname::text AS login, r.rolconnlimit AS connection_limit,
           to_json(coalesce(r.rolvaliduntil, 'infinity')) AS valid_until, d.datname::text AS database, s.setconfig AS settings
         FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid LEFT JOIN pg_database d ON d.oid = s.setdatabase
         WHERE r.rolname = ANY($1)`,
        [[name]],
      );
      return rows.toSorted((one, other) => Number(one.database !== null) - Number(other.database !== null));
    };
    const none = { connection_limit: -1, valid_until: 'infinity', database: null, settings: null };

    test('are read with its limit and its expiry, one row for each database; a login without has one, too', async () => {
      const name = await login();
      const role = identifier(name);
      expect(await stored('nobody')).toEqual([]);
      expect(await stored(name)).toEqual([{ ...none, login: name }]);
      await admin.query(`ALTER ROLE ${role} SET "search_path" TO '$user', 'app', 'My "Own"', ''`);
      await admin.query(`ALTER ROLE ${role} IN DATABASE "postgres" SET "work_mem" TO '8MB'`);
      await admin.query(`ALTER ROLE ${role} IN DATABASE "postgres" SET "DateStyle" TO 'SQL, DMY'`);
      await admin.query(`ALTER ROLE ${role} CONNECTION LIMIT 7 VALID UNTIL 'infinity'`);
      const row = { ...none, login: name, connection_limit: 7 };
      expect(await stored(name)).toEqual([
        { ...row, settings: [`search_path="$user", app, "My ""Own""", ""`] },
        { ...row, database: 'postgres', settings: ['work_mem=8MB', 'DateStyle=SQL, DMY'] },
      ]);
      await admin.query(`ALTER ROLE ${role} RESET "search_path"`);
      await admin.query(`ALTER ROLE ${role} IN DATABASE "postgres" RESET "work_mem"`);
      expect(await stored(name)).toEqual([
        { ...row, database: 'postgres', settings: ['DateStyle=SQL, DMY'] },
      ]);
    });

    test('are copied to its twin as they are; a transaction that fails leaves the twin its own', async () => {
      const [group, twin] = [await login(), newName()];
      await makeTwin(admin, twin, group, 'first');
      await admin.query(`ALTER ROLE ${identifier(group)} SET "search_path" TO 'app', 'Two'`);
      await admin.query(`ALTER ROLE ${identifier(group)} CONNECTION LIMIT 7 VALID UNTIL '2090-01-01'`);
      await admin.query(`ALTER ROLE ${identifier(twin)} SET "work_mem" TO '8MB'`);
      const failed = inTransaction(admin, async () => {
        await copySettings(admin, group, twin);
        await admin.query(`CREATE ROLE ${identifier(twin)} LOGIN INHERIT PASSWORD 'x'`);
      });
      expect(await refusalOf(failed)).toBe('42710');
      expect(await stored(twin)).toEqual([
        { ...none, login: twin, settings: [`role=${group}`, 'work_mem=8MB'] },
      ]);
      await copySettings(admin, group, twin);
      const [own] = await stored(group);
      expect(await stored(twin)).toEqual([
        { ...own, login: twin, settings: [`role=${group}`, 'search_path=app, "Two"'] },
      ]);
    });
  });

  test('a transaction is seen by others when it commits, and by itself before', async () => {
    const [group, twin] = [await login(), newName()];
    const mine = await server.logIn('admin', 'admin');
    await mine.query('BEGIN');
    await makeTwin(mine, twin, group, 'first');
    await markRole(mine, twin, v1);
    expect(await roleOf(mine, twin)).toEqual({
      canLogIn: true,
      versionId: 'v1',
      versionCreatedAt: v1.createdAt,
      madeByKeyturn: true,
      secret: secretMark(secretArn),
    });
    expect(await roleOf(admin, twin)).toBeUndefined();
    expect(await refusalOf(server.logIn(twin, 'first'))).toBe('28P01');
    await mine.query('COMMIT');
    await mine.end();
    expect(await roleOf(admin, twin)).toEqual({
      canLogIn: true,
      versionId: 'v1',
      versionCreatedAt: v1.createdAt,
      madeByKeyturn: true,
      secret: secretMark(secretArn),
    });
    expect(await lets(twin, 'first')).toEqual([{ role: group, login: twin }]);
  });

  test('a transaction that is rolled back, or whose session ends, leaves nothing', async () => {
    const [group, twin] = [await login(), newName()];
    const refused = inTransaction(admin, async () => {
      await makeTwin(admin, twin, group, 'first');
      await admin.query(`CREATE ROLE ${identifier(twin)} LOGIN INHERIT PASSWORD 'x'`);
    });
    expect(await refusalOf(refused)).toBe('42710');
    expect(await roleOf(admin, twin)).toBeUndefined();
    const mine = await server.logIn('admin', 'admin');
    await mine.query('BEGIN');
    await makeTwin(mine, twin, group, 'first');
    await mine.end();
    expect(await roleOf(admin, twin)).toBeUndefined();
  });

  test('a transaction in which a statement failed takes no other, and commits nothing', async () => {
    const name = await login();
    const mine = await server.logIn('admin', 'admin');
    await mine.query('BEGIN');
    await markRole(mine, name, v1);
    expect(await refusalOf(markRole(mine, 'nobody', v1))).toBe('42704');
    expect(await refusalOf(roleOf(mine, name))).toBe('25P02');
    await mine.query('COMMIT');
    expect((await roleOf(mine, name))?.versionId).toBeUndefined();
    await mine.end();
  });

  test.each([
    ['ALTER ROLE', `ALTER ROLE "nobody" NOLOGIN PASSWORD NULL`, '42704'],
    ['GRANT of it', `GRANT "nobody" TO "admin" WITH INHERIT TRUE, SET TRUE`, '42704'],
    ['GRANT to it', `GRANT "admin" TO "nobody" WITH INHERIT TRUE, SET TRUE`, '42704'],
    ['COMMENT', `COMMENT ON ROLE "nobody" IS 'keyturn:v1'`, '42704'],
    ['CREATE ROLE of one that exists', `CREATE ROLE "admin" LOGIN INHERIT PASSWORD 'x'`, '42710'],
  ])('an unknown role: %s is refused', async (_what, sql, code) => {
    expect(await refusalOf(admin.query(sql))).toBe(code);
  });

  test("a role's comment names its version, and the last one counts", async () => {
    const name = await login();
    expect(await roleOf(admin, name)).toMatchObject({ versionId: undefined, madeByKeyturn: false });
    await markRole(admin, name, v1);
    await markRole(admin, name, v2);
    expect(await roleOf(admin, name)).toMatchObject({ versionId: 'v2', madeByKeyturn: true });
  });

  test('the logins of a server are listed, those that are locked are not', async () => {
    const [open, locked] = [await login(), await login()];
    await markRole(admin, open, v1);
    await admin.query(`ALTER ROLE ${identifier(locked)} NOLOGIN PASSWORD NULL`);
    const rows = await admin.query(
      `SELECT rolname::text AS name, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles
         WHERE rolcanlogin AND (rolvaliduntil IS NULL OR rolvaliduntil > now())`,
    );
    expect(rows.filter(({ name }) => name === open || name === locked)).toEqual([
      { name: open, comment: `keyturn:v1 2026-01-01T00:00:01.001Z ${secretMark(secretArn)}` },
    ]);
  });

  test.each(['COMMIT', 'ROLLBACK', 'end'] as const)("%s lets go of a group's lock", async (how) => {
    const group = newName();
    const order: string[] = [];
    const mine = await server.logIn('admin', 'admin');
    await mine.query('BEGIN');
    await lockGroup(mine, group);
    await lockGroup(mine, group);
    const theirs = await server.logIn('admin', 'admin');
    await theirs.query('BEGIN');
    const waiting = lockGroup(theirs, group).then(() => order.push('theirs'));
    // Another group's is free meanwhile.
    await admin.query('BEGIN');
    await lockGroup(admin, newName());
    await admin.query('COMMIT');
    order.push('mine is over');
    await (how === 'end' ? mine.end() : mine.query(how));
    await waiting;
    expect(order).toEqual(['mine is over', 'theirs']);
    await theirs.end();
    if (how !== 'end') await mine.end();
  });

  test("a login that keeps the admin from a group's lock is ended, and another run of the admin is not", async () => {
    const [group, name] = [newName(), await login()];
    const theirs = await server.logIn(name, 'first');
    await theirs.query('BEGIN');
    await lockGroup(theirs, group);
    const mine = await server.logIn('admin', 'admin');
    await mine.query('BEGIN');
    const waiting = lockGroup(mine, group);
    await vi.waitUntil(async () => {
      await endBlockers(admin, mine.processId);
      return (await refusalOf(theirs.query('SELECT 1'))) !== undefined;
    });
    await waiting;
    const next = await server.logIn('admin', 'admin');
    await next.query('BEGIN');
    const waitingNext = lockGroup(next, group);
    await endBlockers(admin, next.processId);
    await mine.query('COMMIT');
    await waitingNext;
    await Promise.all([mine.end(), next.end()]);
  });

  test('a lock that is taken outside a transaction is let go of at once', async () => {
    const group = newName();
    await lockGroup(admin, group);
    const theirs = await server.logIn('admin', 'admin');
    await theirs.query('BEGIN');
    await lockGroup(theirs, group);
    await theirs.end();
  });
});
