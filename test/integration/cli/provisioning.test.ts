import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as z from 'zod';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { databaseOn } from '../provisioning/setting.ts';
import { adminOf, asAgent, postgresForTests, secretJson } from '../rotation/setting.ts';
import { type Aws, startAws } from './aws.ts';
import { keyturn } from './command.ts';

let aws: Aws;
let bao: OpenBao;
let server: Awaited<ReturnType<typeof postgresForTests>>;
let adminSecretArn: string;
const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
const agents = join(folder, 'agents');
const secret = 'agents/billing/credentials';

beforeAll(async () => {
  [aws, bao, server] = await Promise.all([
    startAws(),
    freePort({ next: true }).then((port) => startOpenBao({ port, logFile: join(folder, 'bao.log') })),
    postgresForTests(),
  ]);
  await databaseOn(server, 'shop');
  const { ARN } = await aws.secretsManager.engine.CreateSecret({
    Name: 'keyturn/admin/shop',
    SecretString: adminOf(server).with({ dbname: 'shop' }).serialize().reveal(),
  });
  adminSecretArn = ARN;
  mkdirSync(agents);
  declared('billing', { app: { allTables: ['SELECT'] } }, { vault: { kvPaths: ['team/billing'] } });
});
afterAll(async () => {
  for (const part of [aws, bao, server]) await part?.[Symbol.asyncDispose]();
});

function declared(agentId: string, schemas: object, more: object = {}) {
  const postgres = {
    adminSecretArn,
    host: '127.0.0.1',
    port: server.port,
    ssl: false,
    database: 'shop',
    schemas,
  };
  // JSON is YAML.
  writeFileSync(join(agents, `${agentId}.yml`), JSON.stringify({ agentId, postgres, ...more }));
}

const printed: string[] = [];
const run = async (...args: string[]) => {
  const ran = await keyturn(aws, args, { VAULT_ADDR: bao.url, VAULT_TOKEN: bao.rootToken });
  printed.push(ran.stdout, ran.stderr);
  return ran;
};
/** Passwords that Secrets Manager held while these tests ran. */
const passwords: string[] = [];
const current = async () => {
  const { SecretString = '' } = await aws.secretsManager.engine.GetSecretValue({ SecretId: secret });
  const value = secretJson(JSON.parse(SecretString));
  passwords.push(String(value.reveal().password));
  return value;
};
const roles = () => server.query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^(billing|search)'`);

const policies = z.object({ data: z.object({ keys: z.array(z.string()) }) });

/** What of agents is anywhere. */
async function made(): Promise<unknown> {
  const { SecretList } = await aws.secretsManager.engine.ListSecrets({});
  const { data } = policies.parse(await bao.request('GET', 'sys/policies/acl?list=true'));
  return [SecretList, await roles(), data.keys];
}

it('shows a plan and changes nothing with --dry-run, and where nobody can be asked', async () => {
  const shown = await run('apply', agents, '--dry-run');
  expect(shown).toMatchObject({ code: 3, stderr: '' });
  expect(shown.stdout).toContain('    + billing: SELECT on table app.orders\n');
  expect(shown.stdout).toContain('  create policy agent-billing (Vault)\n');
  const refused = await run('apply', agents);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('say --yes. Nothing was changed');
  expect(await roles()).toEqual([]);
  await expect(current()).rejects.toThrow();
});

it('makes it so with --yes, prints no secret, and finds nothing to do the next time', async () => {
  const { code, stdout, stderr } = await run('apply', agents, '--yes');
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: [
      'billing: created declaration of billing (Keyturn)',
      `billing: created secret ${secret} (Secrets Manager)`,
      `billing: created role billing on 127.0.0.1:${server.port}/shop (PostgreSQL)`,
      `billing: created rotation of ${secret} (Secrets Manager)`,
      'billing: created policy agent-billing (Vault)',
      'billing: created policy keyturn-dev-agent-billing (IAM)',
      '',
    ].join('\n'),
  });
  const login = await current();
  expect(stdout + stderr).not.toContain(login.reveal().password);
  await asAgent(login, 'SELECT * FROM app.orders');
  expect(await run('apply', agents, '--dry-run')).toEqual({
    code: 0,
    stdout: 'nothing differs\n',
    stderr: '',
  });
  const json = JSON.parse((await run('apply', agents, '--json')).stdout);
  expect(json).toEqual({ schemaVersion: 1, agents: [{ agentId: 'billing', changes: [], notes: [] }] });
});

it('refuses all of the files before anything is touched where one is wrong', async () => {
  declared('search', { app: {} }, { vault: { kvPaths: ['*'] } });
  const { code, stderr } = await run('apply', agents, '--yes');
  expect(code).toBe(2);
  expect(stderr).toContain('search.yml: vault.kvPaths.0: expected names of a-z');
  declared('search', { app: {} }, { vault: { kvPaths: ['team/billing/x'] } });
  // By itself, too: what was applied before counts.
  expect((await run('apply', join(agents, 'search.yml'), '--yes')).stderr).toContain(
    'search reads Vault path team/billing/x of billing',
  );
  expect(await roles()).toHaveLength(3);
});

it.each<[string, string, string]>([
  ['a wildcard', "vault: { kvPaths: ['team/*'] }", 'vault.kvPaths.0: expected names of a-z'],
  ['a + for a path segment', "vault: { kvPaths: ['team/+/x'] }", 'vault.kvPaths.0: expected names of a-z'],
  ['a step up', 'vault: { kvPaths: [team/../admin] }', 'vault.kvPaths.0: expected names of a-z'],
  ['a look-alike of a letter', 'vault: { databaseRoles: [bіlling] }', 'vault.databaseRoles.0: expected a-z'],
  ['an unknown field', 'rotationDay: 3', 'rotationDay: no such field'],
  ['a role of another agent', 'vault: { databaseRoles: [shared] }', 'share Vault database role shared'],
])('refuses %s with one message, and nothing is half-done', async (_, yaml, message) => {
  const other = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
  // The one before it is well, and must not be made either.
  writeFileSync(join(other, 'aaa.yml'), 'agentId: aaa\nvault: { databaseRoles: [shared] }\n');
  writeFileSync(join(other, 'zzz.yml'), `agentId: zzz\n${yaml}\n`);
  const before = await made();
  const { code, stdout, stderr } = await run('apply', other, '--yes');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(message);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(await made()).toEqual(before);
});

it.each(['*', '..', 'a/../b', '+', 'bіlling', 'admin', 'Billing'])(
  'refuses to provision or end an agent called %s',
  async (name) => {
    const before = await made();
    const { code, stderr } = await run('provision', 'agent', name, '--yes');
    expect({ code, lines: stderr.trim().split('\n').length }).toEqual({ code: 2, lines: 1 });
    expect(stderr).toContain('keyturn: agentId: ');
    expect(await run('deprovision', 'agent', name, '--yes')).toMatchObject({ code: 2, stdout: '' });
    expect(await made()).toEqual(before);
  },
);

it('provisions an agent by flags, as a file would', async () => {
  const flags = ['--admin-secret', 'keyturn/admin/shop', '--write', 'app'];
  const shown = await run('provision', 'agent', 'search', ...flags, '--dry-run');
  expect(shown.code).toBe(3);
  expect(shown.stdout).toContain('+ search: SELECT, INSERT, UPDATE, DELETE on table app.orders');
  expect((await run('provision', 'agent', 'search', ...flags, '--yes')).code).toBe(0);
  declared('search', { app: { allTables: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] } });
  expect((await run('apply', agents, '--dry-run')).stdout).toBe('nothing differs\n');
  const differing = await run('provision', 'agent', 'search', '--yes');
  expect(differing).toMatchObject({ code: 2 });
  expect(differing.stderr).toContain('search is declared already, and differently');
});

it('deprovisions an agent, reports what was cut and when, and needs Vault for it', async () => {
  expect((await keyturn(aws, ['deprovision', 'agent', 'billing', '--yes'])).stderr).toContain(
    'say --without-vault',
  );
  expect((await run('deprovision', 'agent', 'billing')).code).toBe(2);
  expect(await roles()).toHaveLength(6);
  const login = await current();
  const { code, stdout, stderr } = await run('deprovision', 'agent', 'billing', '--yes', '--json');
  expect(code).toBe(0);
  expect(stderr).toContain('delete the file of billing, or keyturn apply makes the agent again');
  const { made, failed } = JSON.parse(stdout);
  expect(failed).toEqual([]);
  expect(
    made.map(({ system, resource }: { system: string; resource: string }) => `${system}: ${resource}`),
  ).toEqual([
    'Keyturn: declaration of billing',
    `Secrets Manager: rotation of ${secret}`,
    'IAM: policy keyturn-dev-agent-billing',
    'Vault: policy agent-billing',
    `PostgreSQL: logins of billing on 127.0.0.1:${server.port}`,
    `Secrets Manager: secret ${secret}`,
    `PostgreSQL: role billing on 127.0.0.1:${server.port}/shop`,
    'Keyturn: declaration of billing',
  ]);
  expect(made[0].at).toMatch(/^\d{4}-\d\d-\d\dT/);
  await expect(asAgent(login, 'SELECT 1')).rejects.toThrow('password authentication failed');
  expect(await run('deprovision', 'agent', 'billing', '--yes')).toMatchObject({ code: 2 });
  expect(await roles()).toHaveLength(3);
});

it('printed no password of an agent in all of that', () => {
  expect(passwords.length).toBeGreaterThan(0);
  for (const each of passwords) expect(printed.join('\n')).not.toContain(each);
});
