import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import { planLoginsEnd } from '../../../shared/provisioning/postgres/logins-end.ts';
import { planRolesEnd } from '../../../shared/provisioning/postgres/roles-end.ts';
import { asAgent, loginOn, postgresForTests, sessionOf } from '../rotation/setting.ts';
import { agentOn } from './postgres-setting.ts';
import { currentOf, functionArn, type Server } from './setting.ts';

let server: Server;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

const makers = { app: { privileges: ['USAGE', 'CREATE'] } };
const password = 'legacy-password';

/** An agent with what ends it on the server. */
async function agent(rights: object = makers) {
  const one = await agentOn(server, rights);
  const parts = { secretsManager: one.client };
  const made = async (
    planner: typeof planLoginsEnd,
    declaration: Declaration = one.declaration,
  ): Promise<readonly string[]> => {
    const changes = await planner(declaration, parts);
    for (const change of changes) await change.apply();
    return changes.flatMap(({ diff }) => diff);
  };
  const cut = () => made(planLoginsEnd);
  const remove = () => made(planRolesEnd);
  const roles = (condition = 'true') =>
    server.query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^${one.id}(_[ab])?$' AND ${condition}`);
  /** The admin login of the agent's server is this one from now on. */
  const administeredBy = (username: string) =>
    one.engine.PutSecretValue({
      SecretId: one.adminSecretArn,
      SecretString: loginOn(server, username, 'chief').serialize().reveal(),
    });
  return { ...one, cut, remove, roles, administeredBy, estate: `${one.id}_estate` };
}

/** An agent that had a login of its own, on which a person has noted something, before it was declared. */
async function adopted() {
  const one = await agent();
  await one.query(
    `CREATE ROLE "${one.id}" LOGIN PASSWORD '${password}'; COMMENT ON ROLE "${one.id}" IS 'Of team X'`,
  );
  const masterarn = one.adminSecretArn;
  const login = loginOn(server, one.id, password, { dbname: one.database, masterarn });
  await one.engine.PutSecretValue({ SecretId: one.secret, SecretString: login.serialize().reveal() });
  await one.apply();
  return { ...one, login };
}

describe('what an agent owned', () => {
  const escalation = (
    to: string,
  ) => `CREATE FUNCTION app.escalate() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    AS $$ BEGIN EXECUTE 'ALTER ROLE ${to} SUPERUSER'; END $$`;

  it('stays, and its code has the power of nobody', async () => {
    const { number, database, apply, as, cut, remove, query, roles, estate } = await agent();
    await apply();
    await query(
      `CREATE ROLE mallory_${number} LOGIN PASSWORD 'm'; GRANT USAGE ON SCHEMA app TO mallory_${number}`,
    );
    await as(escalation(`mallory_${number}`), 'CREATE TABLE app.kept AS SELECT 7 AS n');
    await cut();
    expect(await remove()).toContain(`  function app.escalate() goes to ${estate}`);
    expect(await roles()).toEqual([]);
    expect(await query('SELECT n FROM app.kept')).toEqual([{ n: 7 }]);
    const mallory = loginOn(server, `mallory_${number}`, 'm', { dbname: database });
    await expect(asAgent(mallory, 'SELECT app.escalate()')).rejects.toThrow(
      'permission denied to alter role',
    );
    expect(
      await query(`SELECT rolcanlogin OR rolinherit OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS powers,
          (SELECT count(*)::int FROM pg_auth_members WHERE member = r.oid OR roleid = r.oid) AS memberships,
          shobj_description(oid, 'pg_authid') LIKE '%Keyturn%' AS noted FROM pg_roles r WHERE rolname = '${estate}'`),
    ).toEqual([{ powers: false, memberships: 0, noted: true }]);
    expect(
      await query(`SELECT pg_get_userbyid(proowner) AS owner FROM pg_proc WHERE proname = 'escalate'`),
    ).toEqual([{ owner: estate }]);
  });

  it('of two lives is kept by one role', async () => {
    const { apply, as, cut, remove, query, estate } = await agent();
    for (const table of ['first', 'second']) {
      await apply();
      await as(`CREATE TABLE app.${table} (id int)`);
      await cut();
      await remove();
    }
    expect(await query(`SELECT tablename FROM pg_tables WHERE tableowner = '${estate}' ORDER BY 1`)).toEqual([
      { tablename: 'first' },
      { tablename: 'second' },
    ]);
  });

  it.each([
    ["is somebody else's", ''],
    ['can log in by now', 'LOGIN'],
  ])('is not given to a role of that name that %s', async (_, options) => {
    const { apply, as, cut, remove, query, estate, roles, id } = await agent();
    await apply();
    await as('CREATE TABLE app.kept (id int)');
    if (options === '') await query(`CREATE ROLE "${estate}"`);
    else {
      await query(`CREATE ROLE "${estate}" ${options}; COMMENT ON ROLE "${estate}" IS
        'What agent ${id} owned, kept by Keyturn: take it over, then drop this role'`);
    }
    await cut();
    await expect(remove()).rejects.toMatchObject({
      name: 'AlternateTakenError',
      message: expect.stringContaining(`The role ${estate}, `),
    });
    expect(await roles()).toHaveLength(3);
  });

  it('is left by an admin that is no superuser, though the agent may make nothing there by now', async () => {
    const whole = await agent();
    const { id, apply, as, cut, remove, query, roles, estate } = whole;
    const chief = await chiefOf(whole);
    await apply();
    await as(
      escalation('x'),
      'CREATE TABLE app.kept (id int)',
      'CREATE VIEW app.seen AS SELECT * FROM app.kept',
    );
    await query(`REVOKE CREATE ON SCHEMA app FROM "${id}"`);
    await cut();
    await remove();
    expect(await roles()).toEqual([]);
    expect(
      await query(`SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = '${estate}' ORDER BY 1`),
    ).toEqual([{ relname: 'kept' }, { relname: 'seen' }]);
    expect(
      await query(`SELECT has_schema_privilege('${estate}', 'app', 'CREATE') AS creates,
          pg_has_role('${chief}', '${estate}', 'USAGE') AS used`),
    ).toEqual([{ creates: false, used: false }]);
  });

  it('is not taken from the agent where the admin may not', async () => {
    const whole = await agent();
    const { id, apply, as, cut, remove, query, roles, estate } = whole;
    await chiefOf(whole);
    await apply();
    await query(`GRANT CREATE ON SCHEMA other TO "${id}"; GRANT USAGE ON SCHEMA other TO PUBLIC`);
    await as("CREATE FUNCTION other.f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    await query(`REVOKE CREATE ON SCHEMA other FROM "${id}"`);
    await cut();
    await expect(remove()).rejects.toMatchObject({
      name: 'AdminPrivilegeError',
      message: expect.stringContaining(estate),
    });
    expect(await roles()).toHaveLength(3);
  });
});

describe('a login that was there before it was declared, with a note of a person', () => {
  it('is cut and removed, by the login of its secret', async () => {
    const { login, cut, remove, roles, query, id } = await adopted();
    expect(await cut()).toEqual([`- login ${id}`]);
    await expect(asAgent(login, 'SELECT 1')).rejects.toThrow('password authentication failed');
    expect(await query(`SELECT shobj_description('"${id}"'::regrole, 'pg_authid') AS note`)).toEqual([
      { note: expect.stringMatching(/^Of team X\n.*Keyturn/) },
    ]);
    await remove();
    expect(await roles()).toEqual([]);
  });

  it('is cut and removed with its twin, after its first rotation', async () => {
    const { engine, secret, cut, remove, roles, id } = await adopted();
    await engine.RotateSecret({ SecretId: secret, RotationLambdaARN: functionArn });
    await engine.idle();
    await engine.DeleteSecret({ SecretId: secret });
    expect(await cut()).toEqual([`- login ${id}`, `- login ${id}_a`]);
    await remove();
    expect(await roles()).toEqual([]);
  });

  it('is cut though its database is gone', async () => {
    const { database, cut, remove, roles } = await adopted();
    await server.query(`DROP DATABASE ${database}`);
    await cut();
    await remove();
    expect(await roles()).toEqual([]);
  });
});

describe("somebody else's role of one of the agent's names", () => {
  it('stops no end of those that are its own', async () => {
    const { id, apply, cut, roles, query } = await agent();
    await apply();
    await query(`ALTER ROLE "${id}_b" RENAME TO "${id}_c"; CREATE ROLE "${id}_b" LOGIN`);
    await expect(cut()).rejects.toMatchObject({
      name: 'AlternateTakenError',
      message: expect.stringContaining(`${id}_b`),
    });
    expect(await roles('rolcanlogin')).toEqual([{ rolname: `${id}_b` }]);
    await expect(cut()).rejects.toMatchObject({ name: 'AlternateTakenError' });
  });

  it('is left with its own group and members', async () => {
    const { id, cut, roles, query } = await agent();
    await query(`CREATE ROLE "${id}"; CREATE ROLE "${id}_a" LOGIN PASSWORD 'theirs' IN ROLE "${id}"`);
    await expect(cut()).rejects.toMatchObject({ name: 'AlternateTakenError' });
    expect(await roles('rolcanlogin')).toHaveLength(1);
  });
});

describe('where the database is gone', () => {
  it('logins and roles go, as they are of the server', async () => {
    const { database, apply, as, cut, remove, roles } = await agent();
    await apply();
    await as('CREATE TABLE app.lost (id int)');
    await server.query(`DROP DATABASE ${database}`);
    await cut();
    await remove();
    expect(await roles()).toEqual([]);
  });

  it('by its name, logins are cut, and it is said where the roles still own things', async () => {
    const { database, apply, as, cut, remove, roles } = await agent();
    await apply();
    await as('CREATE TABLE app.kept (id int)');
    await server.query(`ALTER DATABASE ${database} RENAME TO ${database}_archive`);
    await cut();
    expect(await roles('rolcanlogin')).toEqual([]);
    await expect(remove()).rejects.toMatchObject({
      name: 'UsedElsewhereError',
      message: expect.stringContaining(`${database}_archive`),
    });
  });
});

describe('an agent can not put off its end', () => {
  const holds: readonly [string, (id: string) => string][] = [
    ['its own role', (id) => `SET ROLE NONE; BEGIN; ALTER ROLE "${id}_a" PASSWORD 'mine'`],
    ["Keyturn's lock", (id) => `SELECT pg_advisory_lock(hashtextextended('keyturn:${id}', 0))`],
  ];
  it.each(holds)('by a session that holds %s', async (_, hold) => {
    const { id, engine, secret, apply, cut, roles } = await agent();
    await apply();
    const session = await sessionOf(await currentOf(engine, secret));
    await session.query(hold(id));
    const ended = endOf(session);
    await cut();
    await ended;
    expect(await roles('rolcanlogin')).toEqual([]);
  });

  it('by sessions that come again and again', async () => {
    const { id, engine, secret, apply, cut, roles } = await agent();
    await apply();
    const login = await currentOf(engine, secret);
    const begun = Promise.withResolvers<void>();
    const comingAgain = Array.from({ length: 4 }, async () => {
      // Until it is refused.
      for (;;) {
        let session: pg.Client;
        try {
          session = await sessionOf(login);
        } catch {
          return;
        }
        const ended = endOf(session);
        const isHeld = await session.query(`SET ROLE NONE; BEGIN; ALTER ROLE "${id}_a" PASSWORD 'mine'`).then(
          () => true,
          () => false,
        );
        if (isHeld) begun.resolve();
        await ended;
      }
    });
    await begun.promise;
    await cut();
    await Promise.all(comingAgain);
    expect(await roles('rolcanlogin')).toEqual([]);
  });
});

/** An admin that is no superuser, as on a managed server, and owns what the agent works with. */
async function chiefOf({
  number,
  query,
  administeredBy,
}: Awaited<ReturnType<typeof agent>>): Promise<string> {
  const chief = `chief_${number}`;
  await query(`CREATE ROLE ${chief} LOGIN CREATEROLE PASSWORD 'chief'; GRANT pg_signal_backend TO ${chief};
    ALTER SCHEMA app OWNER TO ${chief}; ALTER TABLE app.orders OWNER TO ${chief}; ALTER TABLE app.customers OWNER TO ${chief}`);
  await administeredBy(chief);
  return chief;
}

const endOf = (session: pg.Client) => new Promise<void>((resolve) => session.once('end', resolve));
