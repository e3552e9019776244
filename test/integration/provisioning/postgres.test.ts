import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../../../local/root.ts';
import { asAgent, loginOn, postgresForTests } from '../rotation/setting.ts';
import { agentOn, password } from './postgres-setting.ts';
import { currentOf, functionArn, type Server } from './setting.ts';

let server: Server;
beforeAll(async () => {
  server = await postgresForTests({ settings: { log_statement: 'all' } });
});
afterAll(() => server[Symbol.asyncDispose]());

const agent = (rights?: object) => agentOn(server, rights);

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

it.each(['is deleted', 'holds no login'])(
  'a login whose secret %s takes the password of the next one',
  async (what) => {
    const { id, engine, plan, apply, as, secret } = await agent();
    await apply();
    const { SecretString } = await engine.GetSecretValue({ SecretId: secret });
    if (what === 'is deleted') {
      await engine.DeleteSecret({ SecretId: secret, ForceDeleteWithoutRecovery: true });
    } else {
      await engine.PutSecretValue({ SecretId: secret, SecretString: '{}' });
    }
    const [change] = await plan();
    expect(change?.diff).toEqual([`  login ${id}_a: takes the password of AWSCURRENT again`]);
    await expect(change?.apply()).rejects.toMatchObject({ name: 'NoCurrentVersionError' });
    if (what === 'is deleted') await engine.CreateSecret({ Name: secret, SecretString });
    else await engine.PutSecretValue({ SecretId: secret, SecretString });
    await apply();
    await as('SELECT * FROM app.orders');
    expect(await plan()).toEqual([]);
  },
);

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
  const { id, number, database, engine, declaration, query, plan } = await agent();
  await query(`CREATE ROLE chief_${number} LOGIN CREATEROLE PASSWORD 'chief'; ALTER SCHEMA app OWNER TO chief_${number};
    ALTER TABLE app.orders OWNER TO chief_${number}; ALTER TABLE app.customers OWNER TO chief_${number}`);
  const admin = loginOn(server, `chief_${number}`, 'chief', { dbname: database });
  await engine.PutSecretValue({
    SecretId: declaration.postgres?.adminSecretArn ?? '',
    SecretString: admin.serialize().reveal(),
  });
  const [change] = await plan();
  await change?.apply();
  expect(await plan()).toEqual([]);
  await query(
    `ALTER TABLE app.orders OWNER TO admin; REVOKE ALL ON app.orders FROM chief_${number}; REVOKE ALL ON app.orders FROM "${id}"`,
  );
  const [left] = await plan();
  await expect(left?.apply()).rejects.toMatchObject({
    name: 'AdminPrivilegeError',
    message: expect.stringMatching(/^The admin login (may not|can't) bring about: \+ /),
  });
});

it('an admin as docs/operators.md makes one provisions too: a member of the role that owns what it grants', async () => {
  const { number, database, engine, declaration, query, plan, as, apply } = await agent();
  const owner = `owner_${number}`;
  await query(`CREATE ROLE ${owner} NOLOGIN; ALTER SCHEMA app OWNER TO ${owner};
    ALTER TABLE app.orders OWNER TO ${owner}; ALTER TABLE app.customers OWNER TO ${owner}`);
  const page = readFileSync(join(root, 'docs/operators.md'), 'utf8');
  const [, lines = ''] = /^CREATE ROLE keyturn_admin[^;]+;.*\n((?:GRANT .*\n)+)/m.exec(page) ?? [];
  const grants = lines.replaceAll('keyturn_admin', `chief_${number}`).replaceAll('owner_of_app', owner);
  expect(grants).toContain(`GRANT ${owner} TO chief_${number};`);
  await query(`CREATE ROLE chief_${number} LOGIN CREATEROLE PASSWORD 'chief'; ${grants}`);
  await engine.PutSecretValue({
    SecretId: declaration.postgres?.adminSecretArn ?? '',
    SecretString: loginOn(server, `chief_${number}`, 'chief', { dbname: database }).serialize().reveal(),
  });
  await apply();
  expect(await plan()).toEqual([]);
  await as('SELECT * FROM app.orders');
  await query(`SET ROLE ${owner}; CREATE TABLE app.later (id int)`);
  expect(await plan()).toEqual([]);
});

it('the lock that agents of a database share is held for a few round trips, and for no other system', async () => {
  const done: string[] = [];
  const { apply, plan, query } = await agentOn(server, undefined, (operation) => done.push(operation));
  await query(
    `DO $$ BEGIN FOR i IN 1..50 LOOP EXECUTE format('CREATE TABLE app.t%s (id int)', i); END LOOP; END $$`,
  );
  const { query: sends, connect } = pg.Client.prototype;
  pg.Client.prototype.query = new Proxy(sends, {
    apply(target, self, args: unknown[]) {
      done.push(String(args[0]));
      return Reflect.apply(target, self, args);
    },
  });
  pg.Client.prototype.connect = new Proxy(connect, {
    apply(target, self, args) {
      done.push('log-in');
      return Reflect.apply(target, self, args);
    },
  });
  try {
    await apply();
  } finally {
    pg.Client.prototype.query = sends;
    pg.Client.prototype.connect = connect;
  }
  const locked = done.findIndex((each) => each.includes('advisory'));
  const held = done.slice(locked, done.indexOf('COMMIT'));
  expect(held).toContainEqual(expect.stringMatching(/^CREATE ROLE.*GRANT/s));
  expect(held.filter((each) => /^(log-in|[A-Z][a-z]+[A-Z]\w*)$/.test(each))).toEqual([]);
  expect(held.length).toBeLessThan(25);
  expect(await plan()).toEqual([]);
});

it('a login that is refused gets no password that is not AWSCURRENT any more', async () => {
  const { id, database, engine, secret, query, apply, as, plan } = await agent();
  await apply();
  await query(`ALTER ROLE "${id}_a" NOLOGIN PASSWORD NULL`);
  const [change] = await plan();
  // AWSCURRENT moves on when it was read, and before the login is repaired.
  const { query: sends } = pg.Client.prototype;
  const set: string[] = [];
  pg.Client.prototype.query = new Proxy(sends, {
    async apply(target, self, args: unknown[]) {
      const sql = String(args[0]);
      if (set.length === 0 && sql.includes('advisory')) {
        set.push('moved');
        await engine.PutSecretValue({
          SecretId: secret,
          SecretString: loginOn(server, `${id}_a`, 'the-next-one', { dbname: database }).serialize().reveal(),
        });
      }
      if (sql.includes('SCRAM-SHA-256')) set.push('password');
      return Reflect.apply(target, self, args);
    },
  });
  try {
    await change?.apply();
  } finally {
    pg.Client.prototype.query = sends;
  }
  expect(set).toEqual(['moved', 'password']);
  await as('SELECT * FROM app.orders');
});
