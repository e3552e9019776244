import { createServer } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { connected } from '../../../shared/rotators/postgres/connection.ts';
import { postgresLogin } from '../../../shared/rotators/postgres/credential.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { marking, roleOf, secretMark } from '../../../shared/rotators/postgres/roles.ts';
import {
  adminOf,
  agentOn,
  asAgent,
  graceEnded,
  loginOn,
  postgresForTests,
  secretJson,
  untroubled,
} from './setting.ts';
import { standbyOf } from './standby.ts';

const { versionId, createdAt } = untroubled.version;

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests({ settings: { log_statement: 'all' } });
});
afterAll(() => server[Symbol.asyncDispose]());

interface Given {
  readonly pending?: SecretJson;
  readonly admin?: SecretJson | undefined;
  readonly earlier?: readonly SecretJson[];
}
const apply = (current: SecretJson, { earlier = [], ...given }: Given = {}) =>
  postgres.apply({
    current,
    pending: postgres.stage(current, 'dual-user'),
    admin: adminOf(server),
    ...untroubled,
    earlier: async () => earlier,
    ...given,
  });
const exists = async (role: string) =>
  (await server.query(`SELECT FROM pg_roles WHERE rolname = '${role}'`)).length === 1;
const commentOn = async (role: string) =>
  (await server.query(`SELECT shobj_description('${role}'::regrole, 'pg_authid') AS comment`))[0]?.comment;
const single = async (name: string, more = '') => {
  await server.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first' ${more}`);
  return loginOn(server, name, 'first');
};

describe("the admin's power", () => {
  it('is not lent where the credential names no admin', async () => {
    const current = await agentOn(server, 'unmanaged');
    await expect(apply(current, { admin: undefined })).rejects.toMatchObject({
      name: 'InvalidSecretError',
      field: 'masterarn',
    });
  });

  it('has to suffice, and else the error says what it needs', async () => {
    const current = await agentOn(server, 'ruled');
    await server.query(`CREATE ROLE powerless LOGIN PASSWORD 'p'`);
    await expect(apply(current, { admin: loginOn(server, 'powerless', 'p') })).rejects.toMatchObject({
      name: 'AdminPrivilegeError',
      message: expect.stringContaining('CREATEROLE'),
    });
    expect(await exists('ruled_b')).toBe(false);
  });

  it('that meets another refusal says that one', async () => {
    const current = await agentOn(server, 'fenced');
    await server.query(
      `CREATE ROLE fenced_b; COMMENT ON ROLE fenced_b IS 'keyturn:${versionId}'; GRANT fenced_b TO fenced`,
    );
    // A group can't be put into a role that it holds.
    await expect(apply(current)).rejects.toMatchObject({ name: 'TargetFailedError', code: '0LP01' });
  });

  it('does not reach a group that the login is no member of, whatever its name says', async () => {
    await server.query(`CREATE ROLE payroll NOLOGIN; CREATE ROLE payroll_a LOGIN PASSWORD 'p'`);
    await expect(apply(loginOn(server, 'payroll_a', 'p'))).rejects.toMatchObject({
      name: 'AlternateTakenError',
      message: expect.stringContaining('payroll'),
    });
    expect(await exists('payroll_b')).toBe(false);
  });

  it("does not take a twin for the agent's because it has the pending password, nor because it has a comment", async () => {
    const current = await agentOn(server, 'named');
    const pending = postgres.stage(current, 'dual-user');
    const password = pg.escapeLiteral(String(pending.reveal().password));
    await server.query(
      `CREATE ROLE named_b LOGIN PASSWORD ${password}; COMMENT ON ROLE named_b IS 'by hand'`,
    );
    await expect(apply(current, { pending })).rejects.toMatchObject({ name: 'AlternateTakenError' });
    expect(await commentOn('named_b')).toBe('by hand');
  });

  it('is not lent where the pending credential is of another database', async () => {
    const current = await agentOn(server, 'moved');
    const pending = postgres.stage(current, 'dual-user').with({ dbname: 'template1' });
    await expect(apply(current, { pending })).rejects.toMatchObject({ name: 'ConfusedDeputyError' });
  });

  it("is not lent where the admin's server is the agent's under another name, unless the agent's is a standby of it", async () => {
    const current = await agentOn(server, 'mirrored');
    const elsewhere = adminOf(server).with({ host: 'localhost' });
    await expect(apply(current, { admin: elsewhere })).rejects.toMatchObject({ name: 'ConfusedDeputyError' });
    await using standby = await standbyOf(server);
    const there = current.with({ port: standby.port });
    const pending = postgres.stage(there, 'dual-user');
    await apply(there, { pending });
    // A standby learns of it a moment later.
    await expect.poll(() => postgres.verify(pending).then(() => 'works')).toBe('works');
  });

  it('is not lent where the agent has a standby of another server', async () => {
    await using other = await postgresForTests();
    const current = await agentOn(server, 'farside');
    await agentOn(other, 'farside');
    await using standby = await standbyOf(server);
    await expect(
      apply(current.with({ port: standby.port }), { admin: adminOf(other) }),
    ).rejects.toMatchObject({ name: 'ConfusedDeputyError' });
  });

  it('waits for whoever else alters the roles of the same agent', async () => {
    const current = await agentOn(server, 'queued');
    const holder = new pg.Client({ connectionString: server.url });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query(`SELECT pg_advisory_xact_lock(hashtextextended('keyturn:queued', 0))`);
    const applied = apply(current).then(() => 'applied');
    await expect
      .poll(() => server.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`))
      .toHaveLength(1);
    expect(await exists('queued_b')).toBe(false);
    await holder.query('COMMIT');
    await holder.end();
    expect(await applied).toBe('applied');
  });
});

describe('where PUBLIC may not connect to the database', () => {
  const databaseOf = async (group: string) => {
    const current = await agentOn(server, group);
    await server.query(`CREATE DATABASE ${group}`);
    return current.with({ dbname: group });
  };
  const aclOf = async (database: string) =>
    (await server.query(`SELECT datacl FROM pg_database WHERE datname = '${database}'`))[0]?.datacl;

  it('the twin may as its sibling may', async () => {
    const current = await databaseOf('walled');
    await server.query('REVOKE CONNECT ON DATABASE walled FROM PUBLIC');
    await server.query('GRANT CONNECT ON DATABASE walled TO walled_a');
    const pending = postgres.stage(current, 'dual-user');
    await apply(current, { pending });
    await postgres.verify(pending);
  });

  it('nothing is granted where it may, or where the group may already', async () => {
    const open = await databaseOf('open');
    await apply(open);
    expect(await aclOf('open')).toBeNull();
    const grouped = await databaseOf('grouped');
    await server.query('REVOKE CONNECT ON DATABASE grouped FROM PUBLIC');
    await server.query('GRANT CONNECT ON DATABASE grouped TO grouped');
    const before = await aclOf('grouped');
    await apply(grouped);
    expect(await aclOf('grouped')).toEqual(before);
  });
});

describe('a role', () => {
  it('bears the version that its password is of, and Keyturn tells its own mark from any other comment', async () => {
    const current = await agentOn(server, 'marked');
    await apply(current);
    const secret = secretMark(untroubled.version.secretArn);
    expect(await commentOn('marked_b')).toBe(`keyturn:${versionId} 2026-01-01T00:00:01.001Z ${secret}`);
    const unmarked = {
      madeByKeyturn: false,
      versionId: undefined,
      versionCreatedAt: undefined,
      secret: undefined,
    };
    await server.query(`COMMENT ON ROLE marked_a IS 'keyturn was here'`);
    const roles = await connected(postgresLogin(adminOf(server)), async (connection) => [
      await roleOf(connection, 'marked_b'),
      await roleOf(connection, 'marked_a'),
      await roleOf(connection, 'marked'),
      await roleOf(connection, 'nobody'),
    ]);
    expect(roles).toEqual([
      { canLogIn: true, madeByKeyturn: true, versionId, versionCreatedAt: createdAt, secret },
      { canLogIn: true, ...unmarked },
      { canLogIn: false, ...unmarked },
      undefined,
    ]);
  });

  it('that may log in is listed with its group and version, and no other is', async () => {
    await apply(await agentOn(server, 'listed'));
    await server.query(`CREATE ROLE lapsed LOGIN VALID UNTIL '2020-01-01';
      CREATE ROLE lasting LOGIN VALID UNTIL '2120-01-01'`);
    const admin = secretJson({ ...adminOf(server).reveal(), engine: undefined, host: 'LOCALHOST' });
    const logins = await postgres.logins(admin);
    const of = (...names: string[]) => logins.filter(({ name }) => names.includes(name));
    const here = `localhost:${server.port}`;
    expect(of('listed', 'listed_a', 'listed_b', 'lapsed', 'lasting')).toEqual(
      expect.arrayContaining([
        { server: here, name: 'listed_a', group: 'listed', versionId: undefined },
        { server: here, name: 'listed_b', group: 'listed', versionId },
        { server: here, name: 'lasting', group: 'lasting', versionId: undefined },
      ]),
    );
    expect(of('listed', 'listed_a', 'listed_b', 'lapsed', 'lasting')).toHaveLength(3);
  });
});

describe('a single user', () => {
  const applySingle = (current: SecretJson, given: Given = {}) =>
    apply(current, { pending: postgres.stage(current, 'single-user'), admin: undefined, ...given });

  it("is not reached by another login's password", async () => {
    const current = (await single('alone')).with({ password: 'never set' });
    await single('beside');
    const earlier = [loginOn(server, 'beside', 'first')];
    await expect(applySingle(current, { earlier })).rejects.toMatchObject({
      name: 'CredentialRefusedError',
      message: expect.stringContaining('by hand'),
    });
  });

  it('is reached where its sessions begin in another role', async () => {
    const current = await single('roled');
    await server.query(
      'CREATE ROLE granted NOLOGIN; GRANT granted TO roled; ALTER ROLE roled SET role = granted',
    );
    const pending = postgres.stage(current, 'single-user');
    await applySingle(current, { pending });
    await postgres.verify(pending);
  });

  it('whose server refuses the change is told of that, and no earlier password is tried', async () => {
    const current = await single('frozen');
    await server.query('ALTER ROLE frozen SET default_transaction_read_only = on');
    await expect(applySingle(current, { earlier: [current] })).rejects.toMatchObject({
      name: 'TargetFailedError',
      code: '25006',
    });
  });

  it('whose pending password works already is left alone, though its name ends like a twin', async () => {
    const current = await single('lone_a');
    const pending = postgres.stage(current, 'single-user');
    await applySingle(current, { pending });
    const stored = () => server.query(`SELECT rolpassword FROM pg_authid WHERE rolname = 'lone_a'`);
    const before = await stored();
    await applySingle(current, { pending });
    expect(await stored()).toEqual(before);
  });

  it("works in whatever role its sessions begin, for it has no group's privileges to prove", async () => {
    const current = await single('elsewhere');
    await server.query(
      'CREATE ROLE chosen NOLOGIN; GRANT chosen TO elsewhere; ALTER ROLE elsewhere SET role = chosen',
    );
    await postgres.verify(current);
  });
});

it('a server that is down is asked once', async () => {
  let asked = 0;
  const closed = createServer((socket) => {
    asked += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const address = closed.address();
  const current = (await agentOn(server, 'gone')).with({
    port: typeof address === 'object' && address ? address.port : 0,
  });
  await expect(apply(current)).rejects.toMatchObject({ name: 'TargetUnreachableError' });
  expect(asked).toBe(1);
  await new Promise((resolve) => closed.close(resolve));
});

describe('at the end of the grace period', () => {
  const revoke = (superseded: SecretJson, versions: readonly string[]) =>
    postgres.revoke({
      ...graceEnded,
      superseded,
      kept: [],
      admin: adminOf(server),
      supersededVersionIds: new Set(versions),
    });

  it('a login that somebody has dropped is revoked already', async () => {
    const current = await single('dropped');
    await server.query('DROP ROLE dropped');
    expect(await revoke(current, [])).toBe('revoked');
  });

  it('a login that a newer rotation has taken keeps its sessions', async () => {
    const first = await agentOn(server, 'busy');
    await server.query(marking('busy_a', { ...untroubled.version, versionId: 'newer' }));
    const session = new pg.Client({
      host: '127.0.0.1',
      port: server.port,
      database: 'postgres',
      user: 'busy_a',
      password: String(first.reveal().password),
    });
    await session.connect();
    expect(await revoke(first, ['older'])).toBe('in use');
    expect((await session.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await session.end();
    expect(await revoke(first, ['newer'])).toBe('revoked');
    await expect(asAgent(first, 'SELECT 1')).rejects.toThrow();
  });
});
