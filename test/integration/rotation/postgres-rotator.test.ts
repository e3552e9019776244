import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { adminOf, agentOn, asAgent, loginOn, postgresForTests, secretJson, untroubled } from './setting.ts';

const versionOne = untroubled.version;
const versionTwo = {
  secretArn: versionOne.secretArn,
  versionId: '22222222-2222-4222-8222-222222222222',
  createdAt: new Date('2026-01-01T00:00:01.002Z'),
};

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests({ settings: { log_statement: 'all' } });
});
afterAll(() => server[Symbol.asyncDispose]());

const apply = (current: SecretJson, pending: SecretJson, version = versionOne) =>
  postgres.apply({ ...untroubled, current, pending, admin: adminOf(server), version });

describe('two users alternate', () => {
  it('24: makes the missing twin with its grants, and the current login goes on working', async () => {
    const current = await agentOn(server, 'billing');
    const pending = postgres.stage(current, 'dual-user');
    expect(pending.reveal().username).toBe('billing_b');
    await apply(current, pending);
    await postgres.verify(pending);
    await expect(asAgent(pending, 'SELECT * FROM billing_orders')).resolves.toEqual([]);
    await expect(asAgent(current, 'SELECT * FROM billing_orders')).resolves.toEqual([]);
  });

  it('what one login made, the other alters and drops', async () => {
    const current = await agentOn(server, 'owner');
    const pending = postgres.stage(current, 'dual-user');
    await apply(current, pending);
    await asAgent(current, 'CREATE TABLE owner_made (id int)');
    await asAgent(pending, 'ALTER TABLE owner_made ADD COLUMN more text', 'DROP TABLE owner_made');
  });

  it('16: a pending login that works with its grants is left alone', async () => {
    const current = await agentOn(server, 'idle');
    const pending = postgres.stage(current, 'dual-user');
    await apply(current, pending, versionOne);
    const stored = () => server.query(`SELECT rolpassword FROM pg_authid WHERE rolname = 'idle_b'`);
    const before = await stored();
    await apply(current, pending, versionTwo);
    expect(await stored()).toEqual(before);
  });

  it("a later version's password stays, however late an earlier version comes, and a later one takes its place", async () => {
    const current = await agentOn(server, 'late');
    const [earlier, later] = [postgres.stage(current, 'dual-user'), postgres.stage(current, 'dual-user')];
    await apply(current, later, versionTwo);
    await expect(apply(current, earlier, versionOne)).rejects.toMatchObject({ name: 'OvertakenError' });
    await postgres.verify(later);
    const latest = postgres.stage(current, 'dual-user');
    await apply(current, latest, { ...versionOne, createdAt: new Date('2026-01-01T00:00:01.003Z') });
    await postgres.verify(latest);
  });

  it('a twin that holds a version made after that of AWSCURRENT is changed once that is known to be given up', async () => {
    const current = await agentOn(server, 'givenup');
    const givenUp = postgres.stage(current, 'dual-user');
    await apply(current, givenUp, versionOne);
    const asked: string[] = [];
    const pending = postgres.stage(current, 'dual-user');
    const applied = (ensureAbandoned: () => Promise<void>) =>
      postgres.apply({
        ...untroubled,
        current,
        pending,
        admin: adminOf(server),
        version: versionTwo,
        currentCreatedAt: new Date(versionOne.createdAt.getTime() - 1),
        ensureAbandoned: (versionId) => {
          asked.push(versionId);
          return ensureAbandoned();
        },
      });
    await expect(applied(() => Promise.reject(new Error('it has ended')))).rejects.toThrow('it has ended');
    await postgres.verify(givenUp);
    await applied(async () => undefined);
    await postgres.verify(pending);
    // A repeat mends what its own version holds, and asks nobody.
    await server.query("ALTER ROLE givenup_b PASSWORD 'by hand'");
    await applied(() => Promise.reject(new Error('it holds its own')));
    await postgres.verify(pending);
    expect(asked).toEqual([versionOne.versionId, versionOne.versionId]);
  });

  it('a mark that names no time holds nobody up, nor does a time in a comment of somebody else', async () => {
    const current = await agentOn(server, 'timeless');
    await apply(current, postgres.stage(current, 'dual-user'), versionTwo);
    const mark = `keyturn:${versionTwo.versionId}`;
    for (const comment of [mark, `${mark} `, `${mark} yesterday`, 'until 2099-01-01']) {
      await server.query(`COMMENT ON ROLE timeless_b IS '${comment}'`);
      const pending = postgres.stage(current, 'dual-user');
      await apply(current, pending, versionOne);
      await postgres.verify(pending);
    }
  });

  it.each([
    ['its membership of the group', 'REVOKE proven from proven_b'],
    ["its session's role", 'ALTER ROLE proven_b RESET role'],
    ["its group's privileges", 'GRANT proven TO proven_b WITH INHERIT FALSE'],
  ])('29: a login that works is not proven where it lacks %s', async (_, breaks) => {
    await server
      .query('DROP TABLE IF EXISTS proven_orders; DROP OWNED BY proven; DROP ROLE proven_a, proven_b, proven')
      .catch(() => []);
    const current = await agentOn(server, 'proven');
    const pending = postgres.stage(current, 'dual-user');
    await apply(current, pending);
    await postgres.verify(pending);
    await server.query(breaks);
    await expect(postgres.verify(pending)).rejects.toMatchObject({ name: 'GrantsMissingError' });
  });

  it("24: repairs a twin that lost its group and its session's role", async () => {
    const current = await agentOn(server, 'repaired');
    const pending = postgres.stage(current, 'dual-user');
    await apply(current, pending);
    await server.query('REVOKE repaired FROM repaired_b; ALTER ROLE repaired_b RESET role');
    await expect(postgres.verify(pending)).rejects.toMatchObject({ name: 'GrantsMissingError' });
    await apply(current, pending);
    await postgres.verify(pending);
  });

  it('adopts a login that exists: it becomes the group of its twins', async () => {
    await server.query(`CREATE ROLE legacy LOGIN PASSWORD 'old'; CREATE TABLE legacy_orders (id int);
      ALTER TABLE legacy_orders OWNER TO legacy`);
    const current = loginOn(server, 'legacy', 'old');
    const pending = postgres.stage(current, 'dual-user');
    expect(pending.reveal().username).toBe('legacy_a');
    await apply(current, pending);
    await asAgent(pending, 'ALTER TABLE legacy_orders ADD COLUMN more text');
    await asAgent(current, 'SELECT more FROM legacy_orders');
    expect(postgres.stage(pending, 'dual-user').reveal().username).toBe('legacy_b');
  });

  it('17, 24: a role that only bears the name of the twin is refused, and untouched', async () => {
    const current = await agentOn(server, 'sales');
    await server.query(`CREATE ROLE sales_b LOGIN PASSWORD 'of-somebody-else'`);
    await expect(apply(current, postgres.stage(current, 'dual-user'))).rejects.toMatchObject({
      name: 'AlternateTakenError',
    });
    await asAgent(loginOn(server, 'sales_b', 'of-somebody-else'), 'SELECT 1');
  });

  it('19: grants nothing where the current login is refused', async () => {
    await agentOn(server, 'deputy');
    const forged = loginOn(server, 'deputy_a', 'guess');
    await expect(apply(forged, postgres.stage(forged, 'dual-user'))).rejects.toMatchObject({
      name: 'CredentialRefusedError',
    });
    expect(await server.query(`SELECT FROM pg_roles WHERE rolname = 'deputy_b'`)).toEqual([]);
  });

  it('17: a pending login that is neither the current one nor its twin is refused', async () => {
    const current = await agentOn(server, 'alien');
    const pending = loginOn(server, 'admin', 'taken-over');
    await expect(apply(current, pending)).rejects.toMatchObject({ name: 'ConfusedDeputyError' });
  });

  it('18: a pending credential of another server is refused', async () => {
    const current = await agentOn(server, 'elsewhere');
    const pending = postgres.stage(current, 'dual-user').with({ host: 'db.attacker.example' });
    await expect(apply(current, pending)).rejects.toMatchObject({ name: 'ConfusedDeputyError' });
  });

  it("20: an admin secret of another server than the agent's is refused", async () => {
    await using other = await postgresForTests();
    const current = await agentOn(server, 'far');
    await agentOn(other, 'far');
    await expect(
      postgres.apply({
        current,
        pending: postgres.stage(current, 'dual-user'),
        admin: adminOf(other),
        ...untroubled,
      }),
    ).rejects.toMatchObject({ name: 'ConfusedDeputyError' });
    expect(await other.query(`SELECT FROM pg_roles WHERE rolname = 'far_b'`)).toEqual([]);
  });

  it('21: an admin secret that RDS manages may hold a username and a password only', async () => {
    const current = await agentOn(server, 'managed');
    const admin = secretJson({ username: 'admin', password: server.password });
    const pending = postgres.stage(current, 'dual-user');
    await postgres.apply({ ...untroubled, current, pending, admin });
    await postgres.verify(pending);
  });

  it('15: a username whose twin PostgreSQL would cut off is refused before anything is made', () => {
    const long = loginOn(server, 'x'.repeat(62), 'p');
    expect(() => postgres.stage(long, 'dual-user')).toThrow(
      expect.objectContaining({ name: 'InvalidSecretError', field: 'username' }),
    );
  });

  it('23: identifiers are quoted', async () => {
    const name = `o'brien"; DROP TABLE x; --`;
    const quoted = name.replaceAll('"', '""');
    await server.query(`CREATE ROLE "${quoted}" LOGIN PASSWORD 'p'`);
    const current = loginOn(server, name, 'p');
    const pending = postgres.stage(current, 'dual-user');
    await apply(current, pending);
    await postgres.verify(pending);
  });

  it('28: unreachable and refused are different errors', async () => {
    const current = await agentOn(server, 'apart');
    await expect(postgres.verify(current.with({ password: 'wrong' }))).rejects.toMatchObject({
      name: 'CredentialRefusedError',
    });
    await expect(postgres.verify(current.with({ port: 1 }))).rejects.toMatchObject({
      name: 'TargetUnreachableError',
    });
  });

  it('31: no password reaches the statement log, and none is in an error', async () => {
    const current = await agentOn(server, 'quiet');
    const pending = postgres.stage(current, 'dual-user');
    await apply(current, pending);
    const log = readFileSync(server.logFile, 'utf8');
    expect(log).toContain('quiet_b');
    expect(log).not.toContain(pending.reveal().password);
  });

  it('27: leaves no connection open', async () => {
    expect(
      await server.query(`SELECT usename FROM pg_stat_activity WHERE application_name = 'keyturn'`),
    ).toEqual([]);
  });
});

describe('a single user', () => {
  const login = async (name: string) => {
    await server.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first'`);
    return loginOn(server, name, 'first');
  };
  const applySingle = (current: SecretJson, pending: SecretJson, earlier: readonly SecretJson[] = []) =>
    postgres.apply({
      current,
      pending,
      ...untroubled,
      admin: undefined,
      earlier: async () => earlier,
    });

  it('gets its new password by its own login, and the old one is refused at once', async () => {
    const current = await login('solo');
    const pending = postgres.stage(current, 'single-user');
    await applySingle(current, pending);
    await postgres.verify(pending);
    await expect(postgres.verify(current)).rejects.toMatchObject({ name: 'CredentialRefusedError' });
  });

  it('has its new password though another run of the same rotation set it first', async () => {
    const current = await login('twice');
    const pending = postgres.stage(current, 'single-user');
    const { query } = pg.Client.prototype;
    let isFirst = true;
    using _ = vi.spyOn(pg.Client.prototype, 'query').mockImplementation(async function (
      this: pg.Client,
      ...asked
    ) {
      if (isFirst && asked[0] === 'BEGIN') {
        isFirst = false;
        await applySingle(current, pending);
      }
      return Reflect.apply(query, this, asked);
    });
    await applySingle(current, pending);
    expect(isFirst).toBe(false);
    await postgres.verify(pending);
  });

  it('22: is reached by an earlier version where the current one is refused', async () => {
    const previous = await login('behind');
    const current = previous.with({ password: 'never-set' });
    const pending = postgres.stage(current, 'single-user');
    await applySingle(current, pending, [previous]);
    await postgres.verify(pending);
  });

  it('32: is not locked out when a run died after the password was set and the next has another token', async () => {
    const current = await login('abandoned');
    const lost = postgres.stage(current, 'single-user');
    await applySingle(current, lost);
    const pending = postgres.stage(current, 'single-user');
    await applySingle(current, pending, [current, lost]);
    await postgres.verify(pending);
  });

  it('keeps working by a name that ends like a twin', async () => {
    const current = await login('plan_a');
    const pending = postgres.stage(current, 'single-user');
    await applySingle(current, pending);
    await postgres.verify(pending);
  });
});
