import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { revokeSuperseded } from '../../functions/revoke-superseded/revoke-superseded.ts';
import { rotateSecret } from '../../functions/rotate-secret/rotate-secret.ts';
import { createEngine, type Engine } from '../../local/secrets-manager/engine.ts';
import { SecretJson } from '../../shared/credential/secret-json.ts';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { clientOf, isAdminSecret, putSecrets } from '../integration/rotation/in-process.ts';
import { agentOn, loginOn, postgresForTests } from '../integration/rotation/setting.ts';
import { leaksOf, shown } from './canary.ts';

const functionArn = 'arn:aws:lambda:eu-central-1:000000000000:function:rotate';
const adminCanary = 'admin/+"canary\' \\ 8f3a5d';
const staticCanary = 'static-canary?&=%_c41e77';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests({
    settings: {
      log_statement: 'all',
      log_min_messages: 'debug1',
      log_min_error_statement: 'debug1',
      log_connections: 'on',
    },
  });
  await server.query(`CREATE ROLE boss SUPERUSER LOGIN PASSWORD ${pg.escapeLiteral(adminCanary)}`);
});
afterAll(() => server[Symbol.asyncDispose]());

class Killed extends Error {}

/** Dies at the nth outside call, before it or after it; from then on every call of this run fails. */
function killer(at: number) {
  let calls = 0;
  let isDead = false;
  return {
    point() {
      if (isDead) throw new Killed();
      calls += 1;
      if (calls !== at) return;
      isDead = true;
      throw new Killed();
    },
    restart: () => {
      isDead = false;
    },
    reached: () => calls >= at,
  };
}

/** All that anybody but Secrets Manager and the target itself could read of a rotation. */
function eavesdropper() {
  const heard: string[] = [];
  const note = (...all: unknown[]) => {
    heard.push(JSON.stringify(all), inspect(all, { depth: 20, showHidden: true, maxStringLength: null }));
  };
  const parts = {
    bus: { publish: async (events: readonly unknown[]) => note(events) },
    log: { info: note, warn: note },
    count: note,
    pause: async () => undefined,
    allowedSecrets: undefined,
    isAdminSecret,
  };
  return { heard, note, parts };
}

/** Every password that the secret has ever held, and those of its surroundings. */
async function secretsOf(engine: Engine, arn: string): Promise<Record<string, string>> {
  const { Versions = [] } = await engine.ListSecretVersionIds({ SecretId: arn, IncludeDeprecated: true });
  const passwords: Record<string, string> = { admin: adminCanary, static: staticCanary };
  for (const { VersionId = '' } of Versions) {
    const read = await engine.GetSecretValue({ SecretId: arn, VersionId }).catch(() => undefined);
    if (read?.SecretString === undefined) continue;
    const { password } = SecretJson.parse(SecretValue.of(read.SecretString)).reveal();
    if (typeof password === 'string') passwords[VersionId] = password;
  }
  return passwords;
}

let count = 0;

async function rotatedAndRevoked(
  strategy: 'dual-user' | 'single-user',
  at: number,
): Promise<{ reached: boolean; secrets: number; steps: number }> {
  count += 1;
  const group = `watched${count}`;
  const kill = killer(at);
  const { heard, note, parts } = eavesdropper();
  let steps = 0;
  let now = () => new Date();
  const engine: Engine = createEngine({
    attempts: 2,
    wait: async () => undefined,
    invoke: async (_, event) => {
      steps += 1;
      if (event.Step === 'createSecret') kill.restart();
      const secretsManager = clientOf(engine, kill.point, kill.point);
      const outcome = await rotateSecret(event, { ...parts, secretsManager, now }).catch(
        (error: unknown) => error,
      );
      if (outcome === undefined) return;
      heard.push(shown(outcome));
      throw outcome;
    },
  });
  const first = await agentOn(server, group);
  const arn = await putSecrets(engine, {
    agent: first.with({ note: staticCanary }),
    admin: loginOn(server, 'boss', adminCanary),
    tags: { 'keyturn:strategy': strategy, 'keyturn:grace': '1s' },
  });
  const { query } = pg.Client.prototype;
  pg.Client.prototype.query = new Proxy(query, {
    async apply(target, self, args) {
      kill.point();
      const result = await Reflect.apply(target, self, args);
      kill.point();
      return result;
    },
  });
  try {
    const { VersionId: before = '' } = await engine.GetSecretValue({ SecretId: arn });
    await engine.RotateSecret({ SecretId: arn, RotationLambdaARN: functionArn });
    await engine.idle();
    const { VersionId: after = '' } = await engine.GetSecretValue({ SecretId: arn });
    now = () => new Date(Date.now() + 3_600_000);
    const ended = {
      secretArn: arn,
      supersededVersionId: before,
      currentVersionId: after,
      rotationId: after,
      graceEndsAt: new Date().toISOString(),
    };
    kill.restart();
    const secretsManager = clientOf(engine, kill.point, kill.point);
    await revokeSuperseded(ended, { ...parts, secretsManager, now }).catch((error: unknown) =>
      note(shown(error)),
    );
  } finally {
    pg.Client.prototype.query = query;
  }
  const secrets = await secretsOf(engine, arn);
  expect(leaksOf(heard.join('\n'), secrets)).toEqual([]);
  expect(leaksOf(readFileSync(server.logFile, 'utf8'), without(secrets, 'first-password'))).toEqual([]);
  return { reached: kill.reached(), secrets: Object.keys(secrets).length, steps };
}

/** What the test itself set in a statement is in the log of statements. */
const without = (secrets: Readonly<Record<string, string>>, known: string) =>
  Object.fromEntries(
    Object.entries(secrets).filter(([, secret]) => secret !== known && secret !== adminCanary),
  );

describe('no password is in a log, an event, a metric, an error or a statement log', () => {
  it.each(['dual-user', 'single-user'] as const)(
    '%s: whichever outside call of the rotation and of the revocation it is killed at',
    async (strategy) => {
      let at = 1;
      let steps = 0;
      for (;;) {
        const { reached, secrets, steps: taken } = await rotatedAndRevoked(strategy, at);
        steps += taken;
        // The admin's, the static field's, the first one's and the rotation's.
        expect(secrets).toBeGreaterThanOrEqual(4);
        if (!reached) break;
        at += 1;
      }
      expect(at).toBeGreaterThan(18);
      expect(steps).toBeGreaterThan(100);
    },
  );

  it("the statement log does hold what a statement holds: the admin's password was set in one, by this test", () => {
    expect(
      leaksOf(readFileSync(server.logFile, 'utf8'), { admin: adminCanary, first: 'first-password' }),
    ).toEqual(['admin', 'first']);
  });
});
