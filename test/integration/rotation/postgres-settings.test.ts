import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { adminOf, agentOn, asAgent, loginOn, postgresForTests, untroubled } from './setting.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests({ settings: { log_statement: 'all' } });
  await server.query(`CREATE ROLE clerk CREATEROLE LOGIN PASSWORD 'clerk'`);
});
afterAll(() => server[Symbol.asyncDispose]());

/** Gives the current login's twin its password; `admin` is a superuser unless told. */
const rotated = async (current: SecretJson, admin = adminOf(server)): Promise<SecretJson> => {
  const pending = postgres.stage(current, 'dual-user');
  await postgres.apply({ ...untroubled, current, pending, admin });
  return pending;
};
const adopted = async (name: string): Promise<SecretJson> => {
  await server.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first'`);
  return loginOn(server, name, 'first');
};
/** As RDS has it: no superuser, with power over the roles that it was given. */
const clerkOver = async (name: string): Promise<SecretJson> => {
  await server.query(`GRANT ${name} TO clerk WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`);
  return loginOn(server, 'clerk', 'clerk');
};
const settingsOf = (login: string) =>
  server.query(
    `SELECT d.datname AS database, s.setconfig AS settings FROM pg_db_role_setting s
       LEFT JOIN pg_database d ON d.oid = s.setdatabase WHERE s.setrole = '${login}'::regrole ORDER BY 1`,
  );
const limitsOf = async (login: string) =>
  (
    await server.query(
      `SELECT rolconnlimit AS connections, rolvaliduntil::text AS until FROM pg_roles WHERE rolname = '${login}'`,
    )
  )[0];
/** The statements about settings, limits and expiry that `work` has the server do. */
const written = async (work: () => Promise<unknown>): Promise<readonly string[]> => {
  const before = readFileSync(server.logFile, 'utf8').length;
  await work();
  return readFileSync(server.logFile, 'utf8')
    .slice(before)
    .split('\n')
    .filter((line) => /ALTER ROLE .*( TO |RESET|CONNECTION LIMIT)/.test(line));
};
const show = async (login: SecretJson, setting: string) =>
  (await asAgent(login, `SELECT current_setting('${setting}') AS value`))?.[0]?.value;

describe('what PostgreSQL keeps for a login alone, its twin gets', () => {
  it('an adopted login: its twin finds the tables that its search_path leads to', async () => {
    const current = await adopted('pathed');
    await server.query(`CREATE SCHEMA pathed_app AUTHORIZATION pathed; CREATE TABLE pathed_app.t (id int);
      ALTER TABLE pathed_app.t OWNER TO pathed; ALTER ROLE pathed SET search_path = pathed_app, public`);
    const twin = await rotated(current);
    await expect(asAgent(twin, 'SELECT * FROM t')).resolves.toEqual([]);
    const next = await rotated(twin);
    await expect(asAgent(next, 'SELECT * FROM t')).resolves.toEqual([]);
  });

  it.each([
    ['quoted', `"$user", public, "My ""Own"" Schema", "a,b", "it's"`],
    ['single', '"$user, public"'],
    ['empty', "''"],
    ['slashed', String.raw`"back\slash"`],
  ])('a search_path with names that need quotes: %s', async (name, path) => {
    const current = await adopted(name);
    await server.query(`ALTER ROLE ${name} SET search_path = ${path}`);
    const twin = await rotated(current);
    expect(await show(twin, 'search_path')).toBe(await show(current, 'search_path'));
    const [own] = await settingsOf(name);
    expect(await settingsOf(`${name}_a`)).toEqual([
      {
        database: null,
        settings: expect.arrayContaining(z.array(z.string()).length(1).parse(own?.settings)),
      },
    ]);
  });

  it('a search_path that was stored as it was typed comes to the same, once', async () => {
    const current = await adopted('typed');
    await server.query(`BEGIN; SELECT set_config('search_path', 'one,"Two"', true);
      ALTER ROLE typed SET search_path FROM CURRENT; COMMIT`);
    const twin = await rotated(current);
    expect(await show(twin, 'search_path')).toBe('one, "Two"');
    expect(await written(() => rotated(current))).toEqual([]);
  });

  it('a value may hold anything, and a list that is stored as text stays one', async () => {
    const current = await adopted('odd');
    const value = String.raw`it's "=" \ '', ; DROP ROLE odd; --`;
    await server.query(`ALTER ROLE odd SET "app.note" = ${pg.escapeLiteral(value)}; ALTER ROLE odd SET DateStyle = 'SQL, DMY';
      ALTER ROLE odd SET work_mem = '8MB'; ALTER ROLE odd SET application_name = ''`);
    const twin = await rotated(current);
    expect(await show(twin, 'app.note')).toBe(value);
    expect(await show(twin, 'DateStyle')).toBe('SQL, DMY');
    expect(await show(twin, 'work_mem')).toBe('8MB');
    expect(await show(twin, 'application_name')).toBe('');
    expect(await written(() => rotated(current))).toEqual([]);
  });

  it('settings for one database are for that database', async () => {
    const current = await adopted('placed');
    await server.query('CREATE DATABASE "Other ""one"""');
    await server.query(`ALTER ROLE placed SET work_mem = '8MB';
      ALTER ROLE placed IN DATABASE "Other ""one""" SET work_mem = '16MB'`);
    const twin = await rotated(current);
    expect(await show(twin, 'work_mem')).toBe('8MB');
    expect(await show(twin.with({ dbname: 'Other "one"' }), 'work_mem')).toBe('16MB');
  });

  it("a limit of connections and an expiry, in any session's style", async () => {
    const current = await adopted('bounded');
    await server.query(`ALTER ROLE bounded CONNECTION LIMIT 7 VALID UNTIL '2090-02-03 04:05:06.789+09';
      ALTER ROLE admin SET DateStyle = 'German, DMY'; ALTER ROLE admin SET TimeZone = 'Asia/Kolkata'`);
    await rotated(current);
    await server.query('ALTER ROLE admin RESET DateStyle; ALTER ROLE admin RESET TimeZone');
    expect(await limitsOf('bounded_a')).toEqual(await limitsOf('bounded'));
    expect(await limitsOf('bounded_a')).toMatchObject({ connections: 7 });
  });

  it('what the current login no longer has is taken away, its session in the role of the group is not', async () => {
    const current = await adopted('shorn');
    await server.query(`CREATE ROLE shorn_other; GRANT shorn_other TO shorn;
      ALTER ROLE shorn SET work_mem = '8MB'; ALTER ROLE shorn SET role = shorn_other;
      ALTER ROLE shorn IN DATABASE postgres SET statement_timeout = '1min'; ALTER ROLE shorn CONNECTION LIMIT 7 VALID UNTIL '2090-01-01'`);
    await rotated(current);
    await server.query(`ALTER ROLE shorn RESET work_mem; ALTER ROLE shorn IN DATABASE postgres RESET ALL;
      ALTER ROLE shorn CONNECTION LIMIT -1 VALID UNTIL 'infinity'; ALTER ROLE shorn_a IN DATABASE postgres SET role = shorn_a`);
    const twin = await rotated(current);
    expect(await settingsOf('shorn_a')).toEqual([{ database: null, settings: ['role=shorn'] }]);
    expect(await limitsOf('shorn_a')).toEqual({ connections: -1, until: 'infinity' });
    await postgres.verify(twin);
  });

  it('a setting that the server takes no more is told of by its name', async () => {
    const current = await adopted('stale');
    await server.query(`ALTER ROLE stale SET work_mem = '8MB';
      UPDATE pg_db_role_setting SET setconfig = '{gone_setting=1}' WHERE setrole = 'stale'::regrole`);
    await expect(rotated(current)).rejects.toMatchObject({
      name: 'TargetFailedError',
      code: '42704',
      message: expect.stringContaining('the setting gone_setting of stale'),
    });
    await asAgent(current, 'SELECT 1');
  });

  it('nothing is written where nothing differs: no expiry is the same as one that never comes', async () => {
    const current = await agentOn(server, 'alike');
    expect(await written(() => rotated(current))).toEqual([]);
    await server.query(`ALTER ROLE alike_a VALID UNTIL 'infinity'; ALTER ROLE alike_a SET work_mem = '8MB'`);
    expect(await written(() => rotated(current))).toHaveLength(1);
    expect(await written(() => rotated(current))).toEqual([]);
    expect(await limitsOf('alike_b')).toEqual({ connections: -1, until: null });
  });
});

describe('an admin that is no superuser', () => {
  it('gives what a login may set for itself, and limits and expiry', async () => {
    const current = await adopted('common');
    await server.query(`ALTER ROLE common SET search_path = "$user", app;
      ALTER ROLE common IN DATABASE postgres SET statement_timeout = '1min'; ALTER ROLE common CONNECTION LIMIT 7 VALID UNTIL '2090-01-01'`);
    const twin = await rotated(current, await clerkOver('common'));
    expect(await show(twin, 'search_path')).toBe('"$user", app');
    expect(await show(twin, 'statement_timeout')).toBe('1min');
    expect(await limitsOf('common_a')).toEqual(await limitsOf('common'));
  });

  it.each([
    ['logged', 'log_min_duration_statement'],
    ['tenant', '"app.tenant"'],
  ])(
    'what only a superuser may set is told of by its name, and nothing has changed: %s',
    async (name, setting) => {
      const current = await adopted(name);
      await server.query(`ALTER ROLE ${name} SET ${setting} = '250'`);
      const admin = await clerkOver(name);
      await expect(rotated(current, admin)).rejects.toMatchObject({
        name: 'AdminPrivilegeError',
        message: expect.stringContaining(`the setting ${setting.replaceAll('"', '')} of ${name}_a`),
      });
      expect(await server.query(`SELECT FROM pg_roles WHERE rolname = '${name}_a'`)).toEqual([]);
      await asAgent(current, 'SELECT 1');

      await server.query(`GRANT SET ON PARAMETER ${setting} TO clerk`);
      await rotated(current, admin);
      expect(await settingsOf(`${name}_a`)).toEqual([
        { database: null, settings: [`role=${name}`, `${setting.replaceAll('"', '')}=250`] },
      ]);

      // Alike on both logins, it asks for no right.
      await server.query(`REVOKE SET ON PARAMETER ${setting} FROM clerk`);
      const twin = await rotated(current, admin);
      await postgres.verify(twin);
      await server.query(`ALTER ROLE ${name} RESET ${setting}`);
      await expect(rotated(current, admin)).rejects.toMatchObject({ name: 'AdminPrivilegeError' });
      await postgres.verify(twin);
    },
  );
});
