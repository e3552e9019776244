import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { until } from '../../../local/until.ts';
import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import { DatabaseConnectionError, planVault } from '../../../shared/provisioning/vault/plan.ts';
import {
  agentOf,
  call,
  dynamicLogin,
  provision,
  startVaultSetting,
  tokenAtWork,
  type VaultSetting,
} from './vault-setting.ts';

let setting: VaultSetting;
beforeAll(async () => {
  setting = await startVaultSetting();
});
afterAll(async () => setting?.[Symbol.asyncDispose]());

const plan = (declared: Declaration) => planVault(declared, { vault: setting.admin });

test('what is declared is made, and then there is nothing to do and nothing is written', async () => {
  const agent = agentOf('maker', { databaseRoles: ['maker-orders'] });
  expect((await plan(agent)).map(({ action, resource }) => `${action} ${resource}`)).toEqual([
    'create Kubernetes role maker',
    'create policy agent-maker',
    'create database role maker-orders',
  ]);
  await provision(setting, agent);
  const written: string[] = [];
  const { admin } = setting;
  const recording = {
    ...admin,
    write: (path: string, body: object) => {
      written.push(path);
      return admin.write(path, { ...body });
    },
  };
  expect(await planVault(agent, { vault: recording })).toEqual([]);
  expect(written).toEqual([]);
});

test('a change by hand is shown and undone: a policy, and a role that was opened to more pods', async () => {
  const agent = agentOf('handmade');
  await provision(setting, agent);
  const { policy } = z
    .object({ policy: z.string() })
    .parse(await setting.admin.read('sys/policies/acl/agent-handmade'));
  await setting.admin.write('sys/policies/acl/agent-handmade', {
    policy: `${policy}path "secret/*" { capabilities = ["read"] }\n`,
  });
  await setting.admin.write('auth/kubernetes/role/handmade', {
    bound_service_account_namespaces: ['*'],
    token_policies: ['agent-handmade', 'root-like'],
  });
  const changes = await plan(agent);
  expect(
    changes.map(({ action, resource, diff }) => [
      action,
      resource,
      ...diff.filter((line) => !line.startsWith(' ')),
    ]),
  ).toEqual([
    [
      'update',
      'Kubernetes role handmade',
      '- bound_service_account_namespaces: ["*"]',
      '+ bound_service_account_namespaces: ["agents"]',
      '- token_policies: ["agent-handmade","root-like"]',
      '+ token_policies: ["agent-handmade"]',
    ],
    ['update', 'policy agent-handmade', '- path "secret/*" { capabilities = ["read"] }'],
  ]);
  for (const change of changes) await change.apply();
  expect(await plan(agent)).toEqual([]);
});

test('white space is no difference', async () => {
  const agent = agentOf('spaced');
  await provision(setting, agent);
  const read = await setting.admin.read('sys/policies/acl/agent-spaced');
  await setting.admin.write('sys/policies/acl/agent-spaced', {
    policy: `\n${String(read?.policy).replaceAll('\n', '  \n\n')}`,
  });
  expect(await plan(agent)).toEqual([]);
});

test('what is declared no more is taken away, also by the run after one that was killed', async () => {
  const before = agentOf('leaner', { databaseRoles: ['leaner-orders', 'leaner-stock'] });
  await provision(setting, before);
  const { kubernetes: _, ...rest } = before;
  const after = { ...rest, vault: { ...before.vault, databaseRoles: ['leaner-stock'] } };
  const left = [
    'delete database role leaner-orders',
    'delete Kubernetes role leaner',
    'update policy agent-leaner',
  ];
  for (; ; left.shift()) {
    const changes = await plan(after);
    expect(changes.map(({ action, resource }) => `${action} ${resource}`)).toEqual(left);
    // Killed after its first change.
    if (changes.length === 0) break;
    await changes[0]?.apply();
  }
});

test('roles of the same names that others made are left alone', async () => {
  const agent = agentOf('guest', { databaseRoles: ['guest-orders'] });
  await provision(setting, agent);
  await setting.admin.write('database/roles/guest-orders', {
    db_name: 'main',
    creation_statements: ['SELECT 1'],
  });
  await setting.admin.write('auth/kubernetes/role/guest', { token_policies: ['others'] });
  const { kubernetes: _, ...rest } = agent;
  const changes = await plan({ ...rest, vault: { ...agent.vault, databaseRoles: [] } });
  expect(changes.map(({ action, resource }) => `${action} ${resource}`)).toEqual([
    'update policy agent-guest',
  ]);
});

test('a connection that is not there, or that does not take the role, is said before anything is written', async () => {
  const unknown = agentOf('unconnected', { databaseConnection: 'elsewhere', databaseRoles: ['x'] });
  await expect(plan(unknown)).rejects.toThrow(DatabaseConnectionError);
  await setting.bao.request('POST', 'database/config/narrow', {
    plugin_name: 'postgresql-database-plugin',
    allowed_roles: ['other'],
    connection_url: 'postgresql://{{username}}:{{password}}@127.0.0.1:1/postgres',
    username: 'x',
    password: 'canary-5d1c',
    verify_connection: false,
  });
  const narrow = agentOf('unconnected', { databaseConnection: 'narrow', databaseRoles: ['x'] });
  await expect(plan(narrow)).rejects.toThrow("database/config/narrow doesn't allow x");
});

const connectAs = async ({
  username,
  password,
}: {
  readonly username: string;
  readonly password: string;
}) => {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: setting.postgres.port,
    database: 'postgres',
    user: username,
    password,
  });
  // A session that is ended says so by an event.
  client.on('error', () => undefined);
  await client.connect();
  return client;
};

test('logins work as the group: what one made the next may use, and none can step out of it', async () => {
  const agent = agentOf('grouped', { databaseRoles: ['grouped-orders'] });
  const token = await tokenAtWork(setting, agent);
  await setting.postgres.query('CREATE SCHEMA grouped AUTHORIZATION grouped');
  const [first, second] = [
    await dynamicLogin(setting, token, 'grouped-orders'),
    await dynamicLogin(setting, token, 'grouped-orders'),
  ];
  expect(first.username).not.toBe(second.username);
  const [one, other] = [await connectAs(first), await connectAs(second)];
  await one.query('CREATE TABLE grouped.orders (id int)');
  await other.query('ALTER TABLE grouped.orders ADD COLUMN name text');
  await other.query('DROP TABLE grouped.orders');
  await one.query('SET ROLE NONE');
  await expect(one.query('CREATE TABLE grouped.mine (id int)')).rejects.toThrow('permission denied');
  await one.query('CREATE TEMP TABLE mine (id int)');
  // The agent ends its own lease: the open session ends, and the login is gone though it had made a table.
  const ended = await call(setting.bao, token, 'PUT', 'sys/leases/revoke', {
    lease_id: first.leaseId,
    sync: true,
  });
  expect(ended.status).toBe(204);
  await expect(one.query('SELECT 1')).rejects.toThrow();
  await expect(connectAs(first)).rejects.toThrow();
  expect(await setting.postgres.query(`SELECT FROM pg_roles WHERE rolname = '${first.username}'`)).toEqual(
    [],
  );
  expect((await other.query('SELECT current_user::text AS me')).rows).toEqual([{ me: 'grouped' }]);
  await other.end();
});

test('the audit trail of Vault and the one of PostgreSQL name the same instance', async () => {
  const agent = agentOf('audited', { databaseRoles: ['audited-orders'] });
  const login = await dynamicLogin(setting, await tokenAtWork(setting, agent), 'audited-orders');
  // What pg_stat_activity and log_line_prefix's %u say, however often the session changes its role.
  expect(login.username).toMatch(/^v-agents-audited-[A-Za-z0-9]{14}$/);
  const issued = z.object({
    type: z.literal('response'),
    auth: z.object({ metadata: z.object({ service_account_name: z.literal('audited') }) }),
    request: z.object({ remote_address: z.string() }),
    response: z.object({ secret: z.object({ lease_id: z.literal(login.leaseId) }) }),
  });
  const entry = await until('the audit log has it', async () =>
    readFileSync(setting.auditFile, 'utf8')
      .split('\n')
      .filter((line) => line.includes(login.leaseId))
      .map((line) => issued.safeParse(JSON.parse(line)).data)
      .find((found) => found !== undefined),
  );
  expect(entry.request.remote_address).toBe('127.0.0.1');
  expect(readFileSync(setting.auditFile, 'utf8')).not.toContain(login.password);
});
