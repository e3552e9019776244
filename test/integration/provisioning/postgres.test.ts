import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Declaration, readDeclaration } from '../../../shared/provisioning/declaration.ts';
import { planPostgres } from '../../../shared/provisioning/postgres.ts';
import { asAgent, loginOn, postgresForTests } from '../rotation/setting.ts';
import { currentOf, databaseOn, declare, functionArn, type Server, secretsFor } from './setting.ts';

let server: Server;
beforeAll(async () => {
  server = await postgresForTests({ settings: { log_statement: 'all' } });
});
afterAll(() => server[Symbol.asyncDispose]());

const password = 'A-first-password-1';
const schemas = {
  app: { allTables: ['SELECT'], tables: { orders: ['INSERT'] } },
};
let count = 0;

/** A declared agent with its secret, and none of its roles. */
async function agent(rights: object = schemas) {
  count += 1;
  const database = `db${count}`;
  const query = await databaseOn(server, database);
  const { engine, client, adminSecretArn } = await secretsFor(server);
  const id = `billing-${count}`;
  const declaration = declare(server, id, { adminSecretArn, database, schemas: rights });
  const secret = `agents/${id}/credentials`;
  await engine.CreateSecret({
    Name: secret,
    SecretString: loginOn(server, `${id}_a`, password, { dbname: database, masterarn: adminSecretArn })
      .serialize()
      .reveal(),
    Tags: [
      { Key: 'agent_id', Value: id },
      { Key: 'managed_by', Value: 'agent-platform' },
    ],
  });
  const plan = (of: Declaration = declaration) => planPostgres(of, { secretsManager: client });
  const apply = async (of: Declaration = declaration) => {
    for (const change of await plan(of)) await change.apply();
  };
  const as = async (...statements: string[]) => asAgent(await currentOf(engine, secret), ...statements);
  return { id, database, declaration, secret, engine, query, plan, apply, as, adminSecretArn };
}

describe('an agent that is new to a server', () => {
  it('gets a group with the declared privileges and two logins, of which one works', async () => {
    const { id, plan, apply, as, query } = await agent();
    const [change] = await plan();
    expect(change?.action).toBe('create');
    expect(change?.diff).toEqual(
      expect.arrayContaining([
        `+ role ${id}`,
        `+ login ${id}_a, with the password of AWSCURRENT`,
        `+ ${id}: SELECT, INSERT on table app.orders`,
        `+ ${id}: SELECT on tables that admin will make in schema app`,
      ]),
    );
    await apply();
    expect(await plan()).toEqual([]);
    expect(await as('SELECT current_user::text AS role, session_user::text AS login')).toEqual([
      { role: id, login: `${id}_a` },
    ]);
    expect(await query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^${id}' AND rolcanlogin`)).toEqual([
      { rolname: `${id}_a` },
    ]);
  });

  it('may do what is declared, on tables to come too, and nothing else', async () => {
    const { apply, as, query } = await agent();
    await apply();
    await query('CREATE TABLE app.later (id int)');
    await as(
      "INSERT INTO app.orders (note) VALUES ('x')",
      'SELECT * FROM app.orders',
      'SELECT * FROM app.customers',
      'SELECT * FROM app.later',
    );
    for (const refused of [
      "UPDATE app.orders SET note = 'y'",
      'DELETE FROM app.orders',
      'TRUNCATE app.orders',
      'INSERT INTO app.customers VALUES (1)',
      'INSERT INTO app.later VALUES (1)',
      'CREATE TABLE app.own (id int)',
      'SELECT * FROM other.ledger',
      'CREATE TABLE other.own (id int)',
      'CREATE SCHEMA own',
      'CREATE ROLE another',
      'SELECT * FROM pg_authid',
      'SET ROLE admin',
    ]) {
      await expect(as(refused), refused).rejects.toThrow(/permission denied|must be owner|no privileges/);
    }
  });

  it('sends the server no password, only its verifier', async () => {
    const { apply } = await agent();
    await apply();
    const { readFileSync } = await import('node:fs');
    const log = readFileSync(server.logFile, 'utf8');
    expect(log).toContain('SCRAM-SHA-256');
    expect(log).not.toContain(password);
  });

  it.each(['schemas: nowhere', 'tables: nothing'])(
    'is refused before anything is made where %s is not there',
    async (which) => {
      const rights = which.startsWith('schemas')
        ? { nowhere: {} }
        : { app: { tables: { nothing: ['SELECT'] } } };
      const { id, plan, query } = await agent(rights);
      await expect(plan()).rejects.toMatchObject({ name: 'DeclarationError' });
      expect(await query(`SELECT FROM pg_roles WHERE rolname ~ '^${id}'`)).toEqual([]);
    },
  );

  it.each(['', '_a', '_b'])(
    "is refused where somebody else's role is called {id}%s, and that role stays",
    async (suffix) => {
      const { id, plan, query } = await agent();
      await query(`CREATE ROLE "${id}${suffix}" LOGIN PASSWORD 'of-somebody-else'`);
      await expect(plan()).rejects.toMatchObject({ name: 'AlternateTakenError' });
      await asAgent(loginOn(server, `${id}${suffix}`, 'of-somebody-else'), 'SELECT 1');
    },
  );

  it('is refused where its secret holds a login of another server, database or agent', async () => {
    const { engine, plan, id, secret, database } = await agent();
    for (const wrong of [{ port: 1 }, { dbname: 'postgres' }, { username: 'admin' }]) {
      const login = loginOn(server, `${id}_a`, password, { dbname: database, ...wrong });
      await engine.PutSecretValue({ SecretId: secret, SecretString: login.serialize().reveal() });
      await expect(plan()).rejects.toMatchObject({ name: 'DeclarationError' });
    }
  });
});

describe('what differs from the declaration is found and made so again', () => {
  const drifts: readonly [string, (id: string, number: number) => string][] = [
    ['a privilege that was revoked', (id) => `REVOKE SELECT ON app.orders FROM "${id}"`],
    ['a privilege on its sequence', (id) => `REVOKE USAGE ON SEQUENCE app.orders_id_seq FROM "${id}"`],
    ['the schema', (id) => `REVOKE USAGE ON SCHEMA app FROM "${id}"`],
    [
      'the privileges on tables to come',
      (id) => `ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE ALL ON TABLES FROM "${id}"`,
    ],
    ['a privilege too many', (id) => `GRANT DELETE ON app.orders TO "${id}"`],
    ['one on a column', (id) => `GRANT UPDATE (note) ON app.orders TO "${id}"`],
    ['one in another schema', (id) => `GRANT SELECT ON other.ledger TO "${id}"`],
    ['one that was given to a login', (id) => `GRANT SELECT ON other.ledger TO "${id}_a"`],
    ['the right to grant', (id) => `GRANT SELECT ON app.orders TO "${id}" WITH GRANT OPTION`],
    ['one on the database', (id, number) => `GRANT CREATE ON DATABASE db${number} TO "${id}"`],
    ['one on everything to come', (id) => `ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO "${id}"`],
    [
      'one on functions to come',
      (id) => `ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON FUNCTIONS TO "${id}"`,
    ],
    [
      'one on a function',
      (id) =>
        `CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION app.f TO "${id}"`,
    ],
    ['one on a parameter', (id) => `GRANT SET ON PARAMETER log_statement TO "${id}"`],
    [
      'one that another role granted',
      (id, number) => `CREATE ROLE lender_${number}; GRANT USAGE ON SCHEMA other TO lender_${number};
        GRANT SELECT ON other.ledger TO lender_${number} WITH GRANT OPTION; SET ROLE lender_${number}; GRANT SELECT ON other.ledger TO "${id}"`,
    ],
    ['a group that it was made a member of', (id) => `GRANT pg_read_all_data TO "${id}"`],
    ['a group that its login was made a member of', (id) => `GRANT pg_write_all_data TO "${id}_a"`],
    [
      'a stranger in its group',
      (id, number) => `CREATE ROLE stranger_${number} LOGIN; GRANT "${id}" TO stranger_${number}`,
    ],
    ['the right to pass its group on', (id) => `GRANT "${id}" TO "${id}_a" WITH ADMIN OPTION`],
    ['a login that is no member any more', (id) => `REVOKE "${id}" FROM "${id}_a"`],
    ['a login that inherits nothing', (id) => `GRANT "${id}" TO "${id}_a" WITH INHERIT FALSE`],
    ["a login whose sessions aren't the group's", (id) => `ALTER ROLE "${id}_a" RESET role`],
    [
      'a login that is another in this database',
      (id, number) => `ALTER ROLE "${id}_a" IN DATABASE db${number} SET role = 'none'`,
    ],
    ['a superuser', (id) => `ALTER ROLE "${id}" SUPERUSER CREATEROLE CREATEDB REPLICATION BYPASSRLS`],
    ['a group that can log in', (id) => `ALTER ROLE "${id}" LOGIN PASSWORD 'x'`],
    ['the login in use, with another password', (id) => `ALTER ROLE "${id}_a" PASSWORD 'x'`],
    ['the login in use, refused', (id) => `ALTER ROLE "${id}_a" NOLOGIN`],
    ['the login in use, expired', (id) => `ALTER ROLE "${id}_a" VALID UNTIL '2000-01-01'`],
    ['the login in use, gone', (id) => `DROP ROLE "${id}_a"`],
    ['its twin, gone', (id) => `DROP ROLE "${id}_b"`],
    ['all of it', (id) => `DROP OWNED BY "${id}"; DROP ROLE "${id}", "${id}_a", "${id}_b"`],
  ];
  let one: Awaited<ReturnType<typeof agent>>;
  let number: number;
  beforeAll(async () => {
    one = await agent();
    number = count;
    await one.apply();
  });
  it.each(drifts)('%s', async (_, drift) => {
    const { id, plan, apply, as, query } = one;
    await query(drift(id, number));
    expect((await plan())[0]?.diff.length).toBeGreaterThan(0);
    await apply();
    expect(await plan()).toEqual([]);
    await as('SELECT * FROM app.orders', "INSERT INTO app.orders (note) VALUES ('x')");
    await expect(as('SELECT * FROM other.ledger')).rejects.toThrow('permission denied');
  });

  it('a declaration that says less takes away, and one that says more gives', async () => {
    const { plan, apply, declaration, as, adminSecretArn, database, id } = await agent();
    await apply();
    const less = declare(server, id, {
      adminSecretArn,
      database,
      schemas: { app: { tables: { orders: ['SELECT'] } } },
    });
    expect((await plan(less))[0]?.diff).toEqual([
      `- ${id}: INSERT on table app.orders`,
      `- ${id}: SELECT on table app.customers`,
      `- ${id}: SELECT on tables that admin will make in schema app`,
      `- ${id}: USAGE on sequence app.orders_id_seq`,
    ]);
    await apply(less);
    await expect(as('SELECT * FROM app.customers')).rejects.toThrow('permission denied');
    await apply(declaration);
    await as('SELECT * FROM app.customers');
  });
});

describe('logins that Vault makes', () => {
  const guests = (declaration: Declaration, vault: object): Declaration =>
    readDeclaration({ ...declaration, vault });

  it('are members of the group for as long as they live, made by a login that can not use it', async () => {
    const { id, plan, apply, declaration, query, database } = await agent();
    await query(`CREATE ROLE vault_${count} LOGIN CREATEROLE PASSWORD 'vault'`);
    const withVault = guests(declaration, { databaseRoles: ['orders'], databaseLogin: `vault_${count}` });
    await apply(withVault);
    expect(await plan(withVault)).toEqual([]);
    const vault = loginOn(server, `vault_${count}`, 'vault', { dbname: database });
    await expect(asAgent(vault, 'SELECT * FROM app.orders')).rejects.toThrow('permission denied');
    await expect(asAgent(vault, `SET ROLE "${id}"`)).rejects.toThrow('permission denied');
    await asAgent(
      vault,
      `CREATE ROLE guest_${count} LOGIN NOINHERIT PASSWORD 'guest' VALID UNTIL '2999-01-01' IN ROLE "${id}"`,
      `ALTER ROLE guest_${count} SET role = '${id}'`,
    );
    await asAgent(
      loginOn(server, `guest_${count}`, 'guest', { dbname: database }),
      'SELECT * FROM app.orders',
    );
    expect(await plan(withVault)).toEqual([]);
    await query(`REVOKE "${id}" FROM vault_${count} CASCADE`);
    await apply(withVault);
    await asAgent(vault, `GRANT "${id}" TO guest_${count}`);
  });

  it.each([
    ['has no end', 'orders', ''],
    ['no declaration knows of', undefined, "VALID UNTIL '2999-01-01'"],
  ])('one that %s is a stranger', async (_, role, until) => {
    const { id, plan, apply, declaration, query } = await agent();
    const declared = guests(declaration, { databaseRoles: role === undefined ? [] : [role] });
    await apply(declared);
    await query(`CREATE ROLE guest_${count} LOGIN ${until} IN ROLE "${id}"`);
    expect((await plan(declared))[0]?.diff).toEqual([`- guest_${count}: member of ${id}`]);
  });
});

describe('rotation and provisioning', () => {
  it('an agent rotates to its twin, and both passwords stay as they are when it is applied again', async () => {
    const { id, engine, secret, apply, plan, as, query } = await agent();
    await apply();
    const first = await currentOf(engine, secret);
    await engine.RotateSecret({ SecretId: secret, RotationLambdaARN: functionArn });
    await engine.idle();
    expect((await currentOf(engine, secret)).reveal().username).toBe(`${id}_b`);
    expect(await plan()).toEqual([]);
    await query(`REVOKE SELECT ON app.orders FROM "${id}"`);
    await apply();
    await as('SELECT * FROM app.orders');
    await asAgent(first, 'SELECT * FROM app.orders');
    await engine.RotateSecret({ SecretId: secret });
    await engine.idle();
    await as('SELECT * FROM app.orders');
    expect(await plan()).toEqual([]);
  });

  it('a login that existed alone is taken over, and works on until its grace is over', async () => {
    const { id, database, engine, secret, apply, plan, as, query } = await agent();
    await query(`CREATE ROLE "${id}" LOGIN PASSWORD 'old'`);
    const legacy = loginOn(server, id, 'old', {
      dbname: database,
      masterarn: (await currentOf(engine, secret)).reveal().masterarn,
    });
    await engine.PutSecretValue({ SecretId: secret, SecretString: legacy.serialize().reveal() });
    await apply();
    await as('SELECT * FROM app.orders');
    await engine.RotateSecret({ SecretId: secret, RotationLambdaARN: functionArn });
    await engine.idle();
    await apply();
    await asAgent(legacy, 'SELECT * FROM app.orders');
    await as('SELECT * FROM app.orders');
    expect(await plan()).toEqual([]);
  });

  it('a password is left alone while a rotation is giving the same login a new one', async () => {
    const { id, engine, secret, apply, plan, query, database } = await agent();
    await apply();
    await query(`ALTER ROLE "${id}_a" PASSWORD 'pending-one'`);
    await engine.PutSecretValue({
      SecretId: secret,
      SecretString: loginOn(server, `${id}_a`, 'pending-one', { dbname: database }).serialize().reveal(),
      VersionStages: ['AWSPENDING'],
    });
    expect(await plan()).toEqual([]);
  });
});

it('killed before or after any statement, applied again it is whole', async () => {
  const { query } = pg.Client.prototype;
  try {
    for (let at = 1; ; at += 5) {
      const { plan, apply, as } = await agent();
      const [change] = await plan();
      let calls = 0;
      pg.Client.prototype.query = new Proxy(query, {
        async apply(target, self, args) {
          calls += 1;
          if (calls === at) throw new Error('killed');
          return Reflect.apply(target, self, args);
        },
      });
      const outcome = await change?.apply().catch(() => 'killed');
      pg.Client.prototype.query = query;
      await apply();
      expect(await plan()).toEqual([]);
      await as('SELECT * FROM app.orders');
      if (outcome !== 'killed') break;
    }
  } finally {
    pg.Client.prototype.query = query;
  }
});

it('an admin that is no superuser provisions too, where it owns what it grants', async () => {
  const { id, database, engine, declaration, query, plan } = await agent();
  await query(`CREATE ROLE chief_${count} LOGIN CREATEROLE PASSWORD 'chief'; ALTER SCHEMA app OWNER TO chief_${count};
    ALTER TABLE app.orders OWNER TO chief_${count}; ALTER TABLE app.customers OWNER TO chief_${count}`);
  const admin = loginOn(server, `chief_${count}`, 'chief', { dbname: database });
  await engine.PutSecretValue({
    SecretId: declaration.postgres?.adminSecretArn ?? '',
    SecretString: admin.serialize().reveal(),
  });
  const [change] = await plan();
  await change?.apply();
  expect(await plan()).toEqual([]);
  await query(
    `ALTER TABLE app.orders OWNER TO admin; REVOKE ALL ON app.orders FROM chief_${count}; REVOKE ALL ON app.orders FROM "${id}"`,
  );
  const [left] = await plan();
  await expect(left?.apply()).rejects.toMatchObject({
    name: 'AdminPrivilegeError',
    message: expect.stringMatching(/^The admin login (may not|can't) bring about: \+ /),
  });
});
