import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgres } from '../../shared/rotators/postgres/postgres.ts';
import {
  adminOf,
  asAgent,
  graceEnded,
  loginOn,
  postgresForTests,
  untroubled,
} from '../integration/rotation/setting.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

/** Functions that Keyturn's statements call. The first two fit the arguments better than PostgreSQL's own do. */
const trapped = [
  ['shobj_description(oid, text)', 'text'],
  ['hashtextextended(text, integer)', 'bigint'],
  ['shobj_description(oid, name)', 'text'],
  ['pg_has_role(name, text)', 'boolean'],
  ['pg_terminate_backend(integer)', 'boolean'],
] as const;

/** A login that owns its database, so it may create functions there, which make whoever calls them give it all power. */
async function trapsOf(login: string) {
  await server.query(`CREATE ROLE ${login} LOGIN PASSWORD 'first-password'`);
  await server.query(`CREATE DATABASE ${login} OWNER ${login}`);
  const agent = loginOn(server, login, 'first-password', { dbname: login });
  await asAgent(
    agent,
    ...trapped.map(
      ([signature, returns]) => `CREATE FUNCTION public.${signature} RETURNS ${returns} LANGUAGE plpgsql AS $$
        BEGIN EXECUTE 'ALTER ROLE ${login} SUPERUSER'; RETURN NULL; END $$`,
    ),
  );
  return agent;
}

it.each([
  ['found by name, before those of PostgreSQL that fit worse', 'sly', ''],
  [
    "put before PostgreSQL's own by the database's settings",
    'slyer',
    'ALTER DATABASE slyer SET search_path = public, pg_catalog',
  ],
])('no function of an agent is run by the admin: %s', async (_, login, setting) => {
  const agent = await trapsOf(login);
  if (setting !== '') await asAgent(agent, setting);
  const admin = adminOf(server);
  let [current, superseded] = [agent, agent];
  // The first rotation finds no role with a note yet, the second does.
  for (let rotation = 0; rotation < 2; rotation += 1) {
    const pending = postgres.stage(current, 'dual-user');
    await postgres.apply({ ...untroubled, pending, current, admin });
    await postgres.verify(pending);
    [current, superseded] = [pending, current];
  }
  const kept = [current];
  expect(
    await postgres.revoke({
      ...graceEnded,
      superseded,
      kept,
      admin,
      supersededVersionIds: new Set([untroubled.version.versionId]),
    }),
  ).toBe('revoked');
  expect(await server.query(`SELECT rolsuper FROM pg_roles WHERE rolname = '${login}'`)).toEqual([
    { rolsuper: false },
  ]);
});
