import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { planLoginsEnd } from '../../../shared/provisioning/postgres/logins-end.ts';
import { planPostgres } from '../../../shared/provisioning/postgres.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { agentOn as declaredAgentOn } from '../provisioning/postgres-setting.ts';
import {
  adminOf,
  agentOn,
  graceEnded,
  loginOn,
  postgresForTests,
  secretJson,
  untroubled,
} from './setting.ts';

/** Speaks plaintext only. */
let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
  await server.query(`CREATE ROLE keyturn_admin SUPERUSER LOGIN PASSWORD 'admin-password'`);
  await server.query('ALTER SYSTEM SET log_connections = on');
  await server.query('SELECT pg_reload_conf()');
});
afterAll(async () => {
  await server.query('ALTER SYSTEM RESET log_connections');
  await server[Symbol.asyncDispose]();
});

/** An admin secret that says nothing of TLS, unless it is told to. */
const admin = (more: object = {}) => {
  const { ssl: _, ...fields } = loginOn(server, 'keyturn_admin', 'admin-password').reveal();
  return secretJson({ ...fields, ...more });
};
const adminLogins = () =>
  readFileSync(server.logFile, 'utf8').match(/connection authorized: user=keyturn_admin/g)?.length ?? 0;

async function setSecret(agent: string, by: SecretJson) {
  const current = await agentOn(server, agent);
  const pending = postgres.stage(current, 'dual-user');
  await postgres.apply({ ...untroubled, current, pending, admin: by });
  return { current, pending };
}

async function revoke(agent: string, by: SecretJson) {
  const { current, pending } = await setSecret(agent, adminOf(server));
  await postgres.revoke({ ...graceEnded, superseded: current, kept: [pending], admin: by });
}

async function declared(by: SecretJson) {
  const { declaration, client: secretsManager, engine, adminSecretArn } = await declaredAgentOn(server);
  await engine.PutSecretValue({ SecretId: adminSecretArn, SecretString: by.serialize().reveal() });
  return [declaration, { secretsManager }] as const;
}

async function apply(_: string, by: SecretJson) {
  for (const change of await planPostgres(...(await declared(by)))) await change.apply();
}

async function deprovision(_: string, by: SecretJson) {
  for (const change of await planLoginsEnd(...(await declared(by)))) await change.apply();
}

const works = [setSecret, revoke, apply, deprovision].map((work) => ({ name: work.name, work }));

describe("an agent's `ssl: false` is not its admin's", () => {
  it.each(works)(
    '$name: where the admin secret names its host, and no ssl, the admin does not log in without TLS',
    async ({ work }) => {
      const before = adminLogins();
      const name = `own_${work.name.toLowerCase()}`;
      await expect(work(name, admin())).rejects.toMatchObject({ name: 'TargetUnreachableError' });
      expect(adminLogins()).toBe(before);
    },
  );

  it.each(works)('$name: where the admin secret says ssl: false itself, it does', async ({ work }) => {
    const before = adminLogins();
    await work(`said_${work.name.toLowerCase()}`, admin({ ssl: false }));
    expect(adminLogins()).toBeGreaterThan(before);
  });

  it.each(works)(
    '$name: where the admin secret names no host, it is of the server as its agent has it',
    async ({ work }) => {
      const before = adminLogins();
      const { host: _, port: __, ...managed } = admin().reveal();
      await work(`rds_${work.name.toLowerCase()}`, secretJson(managed));
      expect(adminLogins()).toBeGreaterThan(before);
    },
  );
});
