import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import type { Postgres } from '../../../local/postgres/server.ts';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { steps } from '../../../shared/rotation/rotation.ts';
import { functionArn } from '../../integration/reconciliation/fleet.ts';
import { clientOf, putSecrets, witness } from '../../integration/rotation/in-process.ts';
import { adminOf, agentOn, asAgent, postgresForTests } from '../../integration/rotation/setting.ts';
import { type ReplyLosingProxy, startReplyLosingProxy } from './reply-losing-proxy.ts';

const parts = new AsyncDisposableStack();
let postgres: Postgres;
let proxy: ReplyLosingProxy;
beforeAll(async () => {
  const settings = {
    max_connections: '8',
    superuser_reserved_connections: '0',
    max_wal_senders: '0',
    shared_preload_libraries: 'passwordcheck',
  };
  postgres = parts.use(await postgresForTests({ settings }));
  proxy = parts.use(await startReplyLosingProxy(postgres.port));
});
afterAll(() => parts.disposeAsync());

let count = 0;

/** An agent behind the proxy, whose rotation has begun: each test takes the steps itself. */
async function rotationBegun(strategy = 'dual-user') {
  count += 1;
  const group = `db${count}`;
  const engine = createEngine({ attempts: 1 });
  const secretArn = await putSecrets(engine, {
    agent: (await agentOn(postgres, group)).with({ port: proxy.port }),
    admin: adminOf(postgres).with({ port: proxy.port }),
    tags: { 'keyturn:strategy': strategy },
  });
  let token = '';
  const begin = async () => {
    const { VersionId = '' } = await engine.RotateSecret({
      SecretId: secretArn,
      RotationLambdaARN: functionArn,
    });
    await engine.idle();
    token = VersionId;
  };
  await begin();
  /** As the runbook has it: the rotation begins again with a new token. */
  const abandon = () =>
    engine.UpdateSecretVersionStage({
      SecretId: secretArn,
      VersionStage: 'AWSPENDING',
      RemoveFromVersionId: token,
    });
  const step = (Step: (typeof steps)[number]) =>
    rotateSecret(
      { Step, SecretId: secretArn, ClientRequestToken: token },
      { ...witness().parts, secretsManager: clientOf(engine) },
    );
  const current = async () => {
    const { SecretString = '', VersionId = '' } = await engine.GetSecretValue({ SecretId: secretArn });
    return { versionId: VersionId, login: SecretJson.parse(SecretValue.of(SecretString)) };
  };
  const rotate = async () => {
    for (const each of steps) await step(each);
    expect((await current()).versionId).toBe(token);
  };
  const works = ({ login }: { login: SecretJson }) => asAgent(login, `SELECT * FROM ${group}_orders`);
  return { group, begin, abandon, step, current, rotate, works };
}

async function session(user: string, password: string) {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: postgres.port,
    database: 'postgres',
    user,
    password,
  });
  await client.connect();
  return client;
}

describe('when the reply to ALTER is lost', () => {
  test.each([
    ['ALTER', 'ALTER ROLE'],
    ['COMMIT', 'COMMIT'],
  ])('to %s of a twin: the agent notices nothing, and the repeat goes through', async (_, tag) => {
    const { begin, step, current, rotate, works } = await rotationBegun();
    await rotate();
    const before = await current();
    await begin();
    await step('createSecret');
    proxy.loseReplyTo(tag);
    await expect(step('setSecret')).rejects.toMatchObject({ name: 'TargetUnreachableError' });
    expect(proxy.hasLost()).toBe(true);
    await works(before);
    await rotate();
    await works(before);
    await works(await current());
  });

  test.each([
    ['the same token', false],
    ['a new token', true],
  ])(
    'of a login without a twin: the repeat by %s finds the password changed, and ends the rotation',
    async (_, anew) => {
      const { begin, abandon, step, current, rotate, works } = await rotationBegun('single-user');
      await step('createSecret');
      proxy.loseReplyTo('ALTER ROLE');
      await expect(step('setSecret')).rejects.toMatchObject({ name: 'TargetUnreachableError' });
      expect(proxy.hasLost()).toBe(true);
      if (anew) {
        await abandon();
        await begin();
      }
      await rotate();
      await works(await current());
    },
  );
});

describe('while the database is out of connections', () => {
  test('as max_connections has it: setSecret fails, the agent keeps its session, and the same rotation goes through afterwards', async () => {
    const { group, step, current, rotate, works } = await rotationBegun();
    const before = await current();
    await step('createSecret');
    const own = await session(`${group}_a`, 'first-password');
    const others: pg.Client[] = [];
    const refusal: unknown = await (async () => {
      for (;;) others.push(await session('admin', postgres.password));
    })().catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: '53300' });
    await expect(step('setSecret')).rejects.toMatchObject({
      name: 'TargetUnreachableError',
      message: expect.stringContaining('53300'),
    });
    await own.query(`SELECT * FROM ${group}_orders`);
    await Promise.all(others.map((client) => client.end()));
    await rotate();
    await own.query(`SELECT * FROM ${group}_orders`);
    await own.end();
    await works(before);
    await works(await current());
  });

  test("as the login's CONNECTION LIMIT has it, which its agent uses up: the same holds", async () => {
    const { group, step, current, rotate, works } = await rotationBegun();
    await step('createSecret');
    await postgres.query(`ALTER ROLE ${group}_a CONNECTION LIMIT 1`);
    const own = await session(`${group}_a`, 'first-password');
    await expect(step('setSecret')).rejects.toMatchObject({
      name: 'TargetUnreachableError',
      message: expect.stringContaining('53300'),
    });
    await own.query(`SELECT * FROM ${group}_orders`);
    await own.end();
    await rotate();
    await works(await current());
  });
});

test('a server with a password policy of its own (passwordcheck) takes what a rotation makes', async () => {
  const { current, rotate, works } = await rotationBegun();
  await expect(postgres.query("CREATE ROLE weak LOGIN PASSWORD 'short'")).rejects.toMatchObject({
    code: '22023',
  });
  await rotate();
  await works(await current());
});
