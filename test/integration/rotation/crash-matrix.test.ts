import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { clientOf, putSecrets, rotatingEngine, witness } from './in-process.ts';
import { adminOf, agentOn, asAgent, postgresForTests } from './setting.ts';

const functionArn = 'arn:aws:lambda:eu-central-1:000000000000:function:rotate';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

class Killed extends Error {}

/** Dies at the nth outside call, before or after it takes effect, and stays dead until the function is started anew. */
function killer(at: number) {
  let calls = 0;
  let dead = false;
  const alive = () => {
    if (dead) throw new Killed();
  };
  const die = () => {
    dead = true;
    throw new Killed();
  };
  return {
    before() {
      alive();
      calls += 1;
      if (calls === at) die();
    },
    after() {
      alive();
      calls += 1;
      if (calls === at) die();
    },
    restart: () => {
      dead = false;
    },
    reached: () => calls >= at,
  };
}

let count = 0;

async function rotationKilledAt(
  at: number,
  strategy: 'dual-user' | 'single-user',
  retry: 'same token' | 'new token',
) {
  count += 1;
  const kill = killer(at);
  const { parts, said } = witness();
  const engine = rotatingEngine({
    attempts: retry === 'same token' ? 2 : 1,
    before: (step) => step === 'createSecret' && kill.restart(),
    dependencies: (of) => ({ ...parts, secretsManager: clientOf(of, kill.before, kill.after) }),
  });
  const agent = await agentOn(server, `crash${count}`);
  const arn = await putSecrets(engine, {
    agent,
    admin: adminOf(server),
    tags: { 'keyturn:strategy': strategy },
  });
  const { query } = pg.Client.prototype;
  pg.Client.prototype.query = new Proxy(query, {
    async apply(target, self, args) {
      kill.before();
      const result = await Reflect.apply(target, self, args);
      kill.after();
      return result;
    },
  });
  const current = async () => {
    const { SecretString = '', VersionId } = await engine.GetSecretValue({ SecretId: arn });
    return { login: SecretJson.parse(SecretValue.of(SecretString)), versionId: VersionId };
  };
  const first = await current();
  await engine.RotateSecret({ SecretId: arn, RotationLambdaARN: functionArn });
  await engine.idle();
  kill.restart();
  pg.Client.prototype.query = query;
  if (strategy === 'dual-user') await asAgent((await current()).login, `SELECT * FROM crash${count}_orders`);
  if (retry === 'new token' && (await current()).versionId === first.versionId) {
    const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: arn });
    const [pending] = Object.entries(VersionIdsToStages).flatMap(([id, stages]) =>
      stages.includes('AWSPENDING') ? id : [],
    );
    if (pending !== undefined)
      await engine.UpdateSecretVersionStage({
        SecretId: arn,
        VersionStage: 'AWSPENDING',
        RemoveFromVersionId: pending,
      });
    await engine.RotateSecret({ SecretId: arn });
    await engine.idle();
  }
  const last = await current();
  expect(last.versionId).not.toBe(first.versionId);
  await asAgent(last.login, `SELECT * FROM crash${count}_orders`);
  if (strategy === 'dual-user') await asAgent(first.login, `SELECT * FROM crash${count}_orders`);
  expect(said.join()).not.toContain(last.login.reveal().password);
  return kill.reached();
}

describe('32: a rotation that is killed before or after any outside call converges', () => {
  for (const strategy of ['dual-user', 'single-user'] as const) {
    for (const retry of ['same token', 'new token'] as const) {
      it(`${strategy}, with the ${retry}`, async () => {
        let at = 1;
        while (await rotationKilledAt(at, strategy, retry)) at += 1;
        // Fewer points would mean that the calls are no longer seen: nine of Secrets Manager alone, each twice.
        expect(at).toBeGreaterThan(18);
      });
    }
  }
});
