import { inspect } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../../local/ports.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import { LeasesRemainError, planVaultEnd } from '../../../shared/provisioning/vault/end.ts';
import { connectVaultAdmin, type VaultAdmin } from '../../../shared/vault/admin.ts';
import { VaultDeniedError, VaultUnreachableError } from '../../../shared/vault/errors.ts';
import {
  agentOf,
  call,
  dynamicLogin,
  podLogin,
  startVaultSetting,
  tokenAtWork,
  type VaultSetting,
} from './vault-setting.ts';

let setting: VaultSetting;
beforeAll(async () => {
  setting = await startVaultSetting();
});
afterAll(async () => setting?.[Symbol.asyncDispose]());

/** An agent at work: a pod of it has logged in, and has logins of a database. */
async function agentAtWork(agentId: string) {
  const agent = agentOf(agentId, { databaseRoles: [`${agentId}-orders`] });
  const token = await tokenAtWork(setting, agent);
  const logins = [
    await dynamicLogin(setting, token, `${agentId}-orders`),
    await dynamicLogin(setting, token, `${agentId}-orders`),
  ];
  return { agent, token, usernames: logins.map(({ username }) => username) };
}

/** What was taken, in the order it was. */
async function end(agent: Declaration, vault: VaultAdmin = setting.admin): Promise<readonly string[]> {
  const taken: string[] = [];
  for (const { resource, apply } of await planVaultEnd(agent, { vault })) {
    await apply();
    taken.push(resource);
  }
  return taken;
}

const isAlive = async (token: string) =>
  (await call(setting.bao, token, 'GET', 'auth/token/lookup-self')).status === 200;

async function rolesNamed(usernames: readonly string[]): Promise<number> {
  const rows = await setting.postgres.query('SELECT rolname::text AS name FROM pg_roles');
  return rows.filter(({ name }) => usernames.includes(String(name))).length;
}

test('everything of an agent is taken, its rights first, its neighbour keeps its own; a repeat finds nothing', async () => {
  const { agent, token, usernames } = await agentAtWork('leaving');
  const neighbour = await agentAtWork('leaving-2');
  expect(await end(agent)).toEqual([
    'policy agent-leaving',
    'Kubernetes role leaving',
    '2 leases of database/creds/leaving-orders',
    '1 token with policy agent-leaving',
    'database role leaving-orders',
  ]);
  expect(await isAlive(token)).toBe(false);
  expect(await rolesNamed(usernames)).toBe(0);
  await expect(podLogin(setting, agent)).rejects.toThrow();
  expect(await isAlive(neighbour.token)).toBe(true);
  expect(await rolesNamed(neighbour.usernames)).toBe(2);
  expect(await end(agent)).toEqual([]);
});

class Killed extends Error {
  override readonly name = 'Killed';
}

/** Dies right after its n-th call: Vault has done it, and nobody was told. */
function dyingAfter(n: number): { readonly vault: VaultAdmin; calls(): number } {
  let calls = 0;
  const counted = async <T>(answer: Promise<T>): Promise<T> => {
    calls += 1;
    const mine = calls;
    const answered = await answer;
    if (mine >= n) throw new Killed('killed');
    return answered;
  };
  const { admin } = setting;
  return {
    calls: () => calls,
    vault: {
      read: (path) => counted(admin.read(path)),
      list: (path) => counted(admin.list(path)),
      write: (path, body) => counted(admin.write(path, body)),
      remove: (path) => counted(admin.remove(path)),
    },
  };
}

test('killed after any call, the next run takes what is left', async () => {
  const measured = await agentAtWork('measured');
  const whole = dyingAfter(Number.POSITIVE_INFINITY);
  await end(measured.agent, whole.vault);
  expect(whole.calls()).toBeGreaterThan(10);
  for (let n = 1; n <= whole.calls(); n += 1) {
    const { agent, token, usernames } = await agentAtWork(`killed-${n}`);
    await expect(end(agent, dyingAfter(n).vault)).rejects.toThrow(Killed);
    await end(agent);
    expect(await isAlive(token), `killed after call ${n}`).toBe(false);
    expect(await rolesNamed(usernames), `killed after call ${n}`).toBe(0);
    expect(await end(agent)).toEqual([]);
  }
});

test('when Vault has taken the policy, a token that lives on can do nothing with it', async () => {
  const { agent, token } = await agentAtWork('halfway');
  const [policy] = await planVaultEnd(agent, { vault: setting.admin });
  await policy?.apply();
  for (const path of [
    'secret/data/agents/halfway/credentials',
    'database/creds/halfway-orders',
    'auth/token/lookup-self',
  ]) {
    expect((await call(setting.bao, token, 'GET', path)).status).toBe(403);
  }
});

test('a database that refuses keeps its leases and their role: tokens are gone, and a later run ends the rest', async () => {
  const { agent, token, usernames } = await agentAtWork('stubborn');
  // Vault's login may not remove this one.
  const [first = ''] = usernames;
  await setting.postgres.query(`CREATE SCHEMA stubborn AUTHORIZATION "${first}"`);
  await expect(end(agent)).rejects.toThrow(LeasesRemainError);
  expect(await isAlive(token)).toBe(false);
  expect(await setting.admin.read('database/roles/stubborn-orders')).toBeDefined();
  await setting.postgres.query('DROP SCHEMA stubborn');
  expect(await end(agent)).toEqual([
    '1 lease of database/creds/stubborn-orders',
    'database role stubborn-orders',
  ]);
  expect(await rolesNamed(usernames)).toBe(0);
});

test('roles that whoever runs Vault made stay; their leases end', async () => {
  const made = agentOf('shared-roles', { databaseRoles: ['shared-roles-orders'] });
  await dynamicLogin(setting, await tokenAtWork(setting, made), 'shared-roles-orders');
  const { databaseConnection: _, ...vault } = made.vault;
  expect(await end({ ...made, vault })).toContain('1 lease of database/creds/shared-roles-orders');
  expect(await setting.admin.read('database/roles/shared-roles-orders')).toBeDefined();
});

test('what goes wrong is said without the token', async () => {
  const token = SecretValue.of('canary-71ac');
  const refused = connectVaultAdmin({ address: setting.bao.url, token });
  const away = connectVaultAdmin({ address: `http://127.0.0.1:${await freePort()}`, token });
  for (const vault of [refused, away]) {
    const error = await end(agentOf('unreached'), vault).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(vault === refused ? VaultDeniedError : VaultUnreachableError);
    expect(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toContain(
      'canary-71ac',
    );
  }
});
