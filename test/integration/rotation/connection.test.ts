import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Connection, connected, inTransaction } from '../../../shared/rotators/postgres/connection.ts';
import { postgresLogin } from '../../../shared/rotators/postgres/credential.ts';
import { startHostileServer } from '../../attacks/hostile-server.ts';
import { adminOf, loginOn, postgresForTests } from './setting.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests({ settings: { log_connections: 'on' } });
});
afterAll(() => server[Symbol.asyncDispose]());

const asAdmin = <T>(work: (connection: Connection) => Promise<T>) =>
  connected(postgresLogin(adminOf(server)), work);
const login = (username: string, more: object = {}) => postgresLogin(loginOn(server, username, 'p', more));
const nothing = async () => undefined;

describe('a session', () => {
  it("says whose it is, has a limit to each statement and each pause in a transaction, and runs PostgreSQL's own functions only", async () => {
    const shown = await asAdmin(async (connection) => {
      const settings = [
        'application_name',
        'statement_timeout',
        'idle_in_transaction_session_timeout',
        'search_path',
      ];
      const values = [];
      for (const setting of settings) values.push(...(await connection.query(`SHOW ${setting}`)));
      return Object.assign({}, ...values);
    });
    expect(shown).toEqual({
      application_name: 'keyturn',
      statement_timeout: '8s',
      idle_in_transaction_session_timeout: '5s',
      search_path: 'pg_catalog,pg_temp',
    });
  });

  it('is over once its work is done or has failed', async () => {
    const open = () => server.query(`SELECT FROM pg_stat_activity WHERE application_name = 'keyturn'`);
    expect(await asAdmin(open)).toHaveLength(1);
    await expect.poll(open).toHaveLength(0);
    await expect(
      asAdmin(async () => {
        throw new RangeError('of its own');
      }),
    ).rejects.toThrow(RangeError);
    await expect.poll(open).toHaveLength(0);
  });
});

describe('a transaction', () => {
  it('leaves nothing where its work fails, and its connection goes on outside of it', async () => {
    await asAdmin(async (connection) => {
      const failing = inTransaction(connection, async () => {
        await connection.query('CREATE ROLE half_made');
        throw new RangeError('of its own');
      });
      await expect(failing).rejects.toThrow(RangeError);
      expect(await connection.query('SELECT pg_current_xact_id_if_assigned() AS id')).toEqual([{ id: null }]);
    });
    expect(await server.query(`SELECT FROM pg_roles WHERE rolname = 'half_made'`)).toEqual([]);
  });

  it('is not seen by others before its end, and gives what its work gave', async () => {
    const seen = () => server.query(`SELECT FROM pg_roles WHERE rolname = 'made'`);
    const outcome = await asAdmin((connection) =>
      inTransaction(connection, async () => {
        await connection.query('CREATE ROLE made');
        return seen();
      }),
    );
    expect(outcome).toEqual([]);
    expect(await seen()).toEqual([{}]);
  });
});

describe('what is refused when a login is tried', () => {
  it.each([
    [
      'a login that may not log in any more',
      `ended NOLOGIN PASSWORD 'p'`,
      'ended',
      {},
      'CredentialRefusedError',
      /login/,
    ],
    ['a login that there never was', 'other', 'nobody', {}, 'CredentialRefusedError', /login/],
    [
      'a database that the login may not enter',
      `outside LOGIN PASSWORD 'p'; CREATE DATABASE walled; REVOKE CONNECT ON DATABASE walled FROM PUBLIC`,
      'outside',
      { dbname: 'walled' },
      'CredentialRefusedError',
      /into the database/,
    ],
    [
      'a database that there is not',
      `lost LOGIN PASSWORD 'p'`,
      'lost',
      { dbname: 'nowhere' },
      'TargetFailedError',
      /no such database \(3D000\)/,
    ],
  ] as const)('%s', async (_, role, username, more, name, message) => {
    for (const sql of `CREATE ROLE ${role}`.split(';')) await server.query(sql);
    await expect(connected(login(username, more), nothing)).rejects.toMatchObject({
      name,
      message: expect.stringMatching(message),
    });
  });

  it.each([
    ['53300', '53300'],
    ['lower53300', 'no code'],
    ['53300 and a sentence', 'no code'],
    ['X'.repeat(64), 'X'.repeat(64)],
    ['X'.repeat(65), 'no code'],
    ['', 'no code'],
  ])('with the code %j that a strange server sends: told as (%s)', async (sent, told) => {
    const body = Buffer.from(`SFATAL\0C${sent}\0Mcanary\0\0`);
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length + 4);
    await using strange = await startHostileServer({
      tls: 'N',
      demand: Buffer.concat([Buffer.from('E'), length, body]),
    });
    const attempt = connected(login('anyone', { port: strange.port }), nothing);
    await expect(attempt).rejects.toMatchObject({
      name: 'TargetUnreachableError',
      message: expect.stringMatching(new RegExp(`\\(${told}\\)$`)),
    });
    await expect(attempt).rejects.not.toThrow('canary');
  });
});

describe('a statement that fails', () => {
  const raised = (code: string) =>
    asAdmin((connection) =>
      connection.query(`DO $$ BEGIN RAISE EXCEPTION 'canary' USING ERRCODE = '${code}'; END $$`),
    );

  it.each(['57P01', '57P03', '08006'])('with %s: the server is going, and may come back', async (code) => {
    await expect(raised(code)).rejects.toMatchObject({
      name: 'TargetUnreachableError',
      message: `The connection to PostgreSQL broke (${code})`,
    });
  });

  it.each(['57014', '55P03', '40P01', '53200'])(
    'with %s: the server is busy, and the same may work later',
    async (code) => {
      await expect(raised(code)).rejects.toMatchObject({
        name: 'TargetUnreachableError',
        message: `PostgreSQL is too busy for a statement (${code})`,
      });
    },
  );

  it.each(['42501', '22008', '2257P', '0A000', 'P0153'])(
    'with %s: the server has refused it',
    async (code) => {
      await expect(raised(code)).rejects.toMatchObject({
        name: 'TargetFailedError',
        code,
        message: `PostgreSQL refused a statement (${code})`,
      });
    },
  );

  it.each([
    ['closed', (socket: Socket) => socket.end(), 'no code'],
    ['reset', (socket: Socket) => socket.resetAndDestroy(), 'ECONNRESET'],
  ] as const)('as the connection is %s: the server is out of reach', async (_, end, code) => {
    await using proxy = await proxyTo(server.port);
    const broken = connected(
      login('admin', { port: proxy.port, password: server.password }),
      (connection) => {
        const answer = connection.query('SELECT pg_sleep(20)');
        for (const socket of proxy.clients) end(socket);
        return answer;
      },
    );
    await expect(broken).rejects.toMatchObject({
      name: 'TargetUnreachableError',
      message: `The connection to PostgreSQL broke (${code})`,
    });
  });

  it('since its session was ended before: no more than that statement fails', async () => {
    const ended = asAdmin(async (connection) => {
      const [session] = await connection.query('SELECT pg_backend_pid() AS pid');
      await server.query(`SELECT pg_terminate_backend(${session?.pid}, 5000)`);
      return connection.query('SELECT 1');
    });
    await expect(ended).rejects.toMatchObject({ name: 'TargetUnreachableError' });
  });
});

/** Passes everything on, and shows the sockets of its clients. */
async function proxyTo(port: number) {
  const clients = new Set<Socket>();
  const proxy = createServer((client) => {
    clients.add(client);
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    client.on('close', () => upstream.destroy());
    client.pipe(upstream).pipe(client);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const address = proxy.address();
  if (typeof address !== 'object' || !address) throw new Error('The proxy listens on no port');
  return {
    port: address.port,
    clients,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
