import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Declaration, readDeclaration } from '../../../shared/provisioning/declaration.ts';
import { asAgent, loginOn, postgresForTests } from '../rotation/setting.ts';
import { agentOn } from './postgres-setting.ts';
import { declare, type Server } from './setting.ts';

let server: Server;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

const agent = (rights?: object) => agentOn(server, rights);

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
  beforeAll(async () => {
    one = await agent();
    await one.apply();
  });
  it.each(drifts)('%s', async (_, drift) => {
    const { id, number, plan, apply, as, query } = one;
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

describe('a login that was let to pass its group on, and did', () => {
  const accomplicesOf = (number: number) => [`accomplice_${number}`, `second_${number}`];

  /** The login has the right to grant its group; two others have the group by it, one of them by the other. */
  async function passedOn(one: Awaited<ReturnType<typeof agent>>, byAdmin: string) {
    const { id, number, query } = one;
    const [first, second] = accomplicesOf(number);
    await query(`CREATE ROLE ${first} LOGIN; CREATE ROLE ${second} LOGIN;
      SET ROLE ${byAdmin}; GRANT "${id}" TO "${id}_a" WITH ADMIN OPTION; RESET ROLE;
      SET ROLE "${id}_a"; GRANT "${id}" TO ${first} WITH ADMIN OPTION; RESET ROLE;
      SET ROLE ${first}; GRANT "${id}" TO ${second}`);
  }

  async function expectMended({ id, number, query, plan, apply }: Awaited<ReturnType<typeof agent>>) {
    expect((await plan())[0]?.diff).toEqual([
      `- ${id}_a: the right to grant ${id}`,
      ...accomplicesOf(number).map((each) => `- ${each}: member of ${id}`),
    ]);
    await apply();
    expect(await plan()).toEqual([]);
    for (const each of accomplicesOf(number)) {
      expect(await query(`SELECT pg_has_role('${each}', '${id}', 'MEMBER') AS is`)).toEqual([{ is: false }]);
    }
  }

  it('loses the right, and the others the group', async () => {
    const one = await agent();
    await one.apply();
    await passedOn(one, 'admin');
    await expectMended(one);
  });

  it('by an admin that is no superuser too', async () => {
    const one = await agent();
    const { number, query, engine, adminSecretArn, database } = one;
    const admin = `no_superuser_${number}`;
    await query(`CREATE ROLE ${admin} LOGIN CREATEROLE PASSWORD 'admin';
      ALTER SCHEMA app OWNER TO ${admin}; ALTER TABLE app.orders OWNER TO ${admin};
      ALTER TABLE app.customers OWNER TO ${admin}`);
    const SecretString = loginOn(server, admin, 'admin', { dbname: database }).serialize().reveal();
    await engine.PutSecretValue({ SecretId: adminSecretArn, SecretString });
    await one.apply();
    await passedOn(one, admin);
    await expectMended(one);
  });

  it('takes it from them where one of them has the right to grant it from somebody else as well', async () => {
    const one = await agent();
    await one.apply();
    await passedOn(one, 'admin');
    const [first] = accomplicesOf(one.number);
    await one.query(`GRANT "${one.id}" TO ${first} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`);
    await one.apply();
    expect(await one.plan()).toEqual([]);
  });
});

describe('logins that Vault makes', () => {
  const guests = (declaration: Declaration, vault: object): Declaration =>
    readDeclaration({ ...declaration, vault });

  it('are members of the group for as long as they live, made by a login that can not use it', async () => {
    const { id, number, plan, apply, declaration, query, database } = await agent();
    await query(`CREATE ROLE vault_${number} LOGIN CREATEROLE PASSWORD 'vault'`);
    const withVault = guests(declaration, { databaseRoles: ['orders'], databaseLogin: `vault_${number}` });
    await apply(withVault);
    expect(await plan(withVault)).toEqual([]);
    const vault = loginOn(server, `vault_${number}`, 'vault', { dbname: database });
    await expect(asAgent(vault, 'SELECT * FROM app.orders')).rejects.toThrow('permission denied');
    await expect(asAgent(vault, `SET ROLE "${id}"`)).rejects.toThrow('permission denied');
    await asAgent(
      vault,
      `CREATE ROLE guest_${number} LOGIN NOINHERIT PASSWORD 'guest' VALID UNTIL '2999-01-01' IN ROLE "${id}"`,
      `ALTER ROLE guest_${number} SET role = '${id}'`,
    );
    await asAgent(
      loginOn(server, `guest_${number}`, 'guest', { dbname: database }),
      'SELECT * FROM app.orders',
    );
    expect(await plan(withVault)).toEqual([]);
    await query(`REVOKE "${id}" FROM vault_${number} CASCADE`);
    await apply(withVault);
    await asAgent(vault, `GRANT "${id}" TO guest_${number}`);
  });

  it.each([
    ['has no end', 'orders', ''],
    ['no declaration knows of', undefined, "VALID UNTIL '2999-01-01'"],
  ])('one that %s is a stranger', async (_, role, until) => {
    const { id, number, plan, apply, declaration, query } = await agent();
    const declared = guests(declaration, { databaseRoles: role === undefined ? [] : [role] });
    await apply(declared);
    await query(`CREATE ROLE guest_${number} LOGIN ${until} IN ROLE "${id}"`);
    expect((await plan(declared))[0]?.diff).toEqual([`- guest_${number}: member of ${id}`]);
  });
});
