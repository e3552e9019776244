import { beforeEach, expect, test } from 'vitest';
import { SecretDeniedError } from '../../../agent/errors.ts';
import { DatabaseLease } from '../../../agent/vault/database-lease.ts';
import type { VaultLogin } from '../../../agent/vault/login.ts';
import { TokenKeeper } from '../../../agent/vault/token.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { FakeVault } from './fake-vault.ts';
import { VirtualTime } from './virtual-time.ts';

const databaseLogins = 'GET database/creds';
const lookUps = 'GET auth/token/lookup-self';
let time: VirtualTime;
let vault: FakeVault;
/** What the token's file holds. */
let file: string;

beforeEach(() => {
  time = new VirtualTime();
  vault = new FakeVault(time);
  vault.leaseTtl = 3_600;
  file = 'token-1';
});

function agentOf(login: VaultLogin) {
  const tokens = new TokenKeeper(vault.api, login, time);
  const lease = new DatabaseLease(tokens, 'database/creds/billing', time);
  tokens.onReplaced((old) => lease.leave(old));
  return { tokens, lease };
}
const byKubernetes: VaultLogin = async () => ({ path: 'auth/kubernetes/login', body: {} });
const byFile: VaultLogin = async () => ({ token: SecretValue.of(file) });

/** As the process that keeps the token's file does. */
const renewed = () => vault.api('POST', 'auth/token/renew-self', { token: SecretValue.of('token-1') });
const loggedIn = () => vault.api('POST', 'auth/kubernetes/login');

test('an agent that may not look up its token, and asks for what it may not read, goes on with its logins', async () => {
  vault.ttl = 86_400;
  vault.denied = ['auth/token/lookup-self', 'secret/data/denied'];
  const { tokens, lease } = agentOf(byKubernetes);
  await lease.current();
  for (let second = 0; second < 500; second += 1) {
    await expect(tokens.request('GET', 'secret/data/denied')).rejects.toThrow(SecretDeniedError);
    await time.advance(1_000);
  }
  // One was needed to know that the refusal is not about the token.
  expect(vault.count('login')).toBe(2);
  expect(vault.count(databaseLogins)).toBe(2);
});

test('what was denied, was allowed since and is denied again may be for the token', async () => {
  vault.ttl = 86_400;
  vault.denied = ['auth/token/lookup-self', 'secret/data/x'];
  const { tokens } = agentOf(byKubernetes);
  await expect(tokens.request('GET', 'secret/data/x')).rejects.toThrow(SecretDeniedError);
  vault.denied = ['auth/token/lookup-self'];
  await tokens.request('GET', 'secret/data/x');
  vault.revoke('token-2');
  await expect(tokens.request('GET', 'secret/data/x')).resolves.toMatchObject({ data: {} });
});

test('a denied path does not keep the end of a token from those who read another', async () => {
  vault.ttl = 86_400;
  vault.denied = ['auth/token/lookup-self', 'secret/data/denied'];
  const { tokens } = agentOf(byKubernetes);
  await expect(tokens.request('GET', 'secret/data/denied')).rejects.toThrow(SecretDeniedError);
  vault.revoke('token-2');
  await expect(tokens.request('GET', 'secret/data/x')).resolves.toMatchObject({ data: {} });
});

test('a token that its file still holds at two thirds of its time keeps the login that was made with it', async () => {
  vault.ttl = 20;
  vault.renewable = false;
  await loggedIn();
  const { lease } = agentOf(byFile);
  const { leaseId } = await lease.current();
  await time.advance(19_000);
  expect((await lease.current()).leaseId).toBe(leaseId);
  expect(vault.count(databaseLogins)).toBe(1);
  expect(vault.count(lookUps)).toBeLessThan(10);
});

test('a token that another process renews keeps the login that was made with it', async () => {
  vault.ttl = 20;
  vault.renewable = false;
  vault.maxTtl = 3_600;
  await loggedIn();
  const { lease } = agentOf(byFile);
  const { leaseId } = await lease.current();
  for (let times = 0; times < 60; times += 1) {
    await time.advance(10_000);
    await renewed();
    expect(await lease.current()).toMatchObject({ leaseId });
  }
  expect(vault.count(lookUps)).toBeLessThan(100);
});

test('another token in the file is gone over to before the first one ends, and its login with it', async () => {
  vault.ttl = 60;
  vault.renewable = false;
  await loggedIn();
  const { lease } = agentOf(byFile);
  const { leaseId } = await lease.current();
  await time.advance(45_000);
  await loggedIn();
  file = 'token-2';
  await time.advance(14_000);
  const second = await lease.current();
  expect(second.leaseId).not.toBe(leaseId);
  await time.advance(10_000);
  expect(vault.works(second.leaseId)).toBe(true);
});

test('a token in its last second is not taken for one without an end', async () => {
  vault.ttl = 20;
  await loggedIn();
  await time.advance(19_500);
  const { tokens } = agentOf(byFile);
  expect((await tokens.current()).expiresAt).toBeLessThanOrEqual(20_000);
});

test('a token without an end needs no keeping', async () => {
  const root = new TokenKeeper(
    async () => ({ data: { ttl: 0, renewable: false, expire_time: null } }),
    byFile,
    time,
  );
  expect((await root.current()).expiresAt).toBe(Number.POSITIVE_INFINITY);
});
