import { beforeEach, expect, test } from 'vitest';
import {
  LoginRefusedError,
  SecretDeniedError,
  SecretNotFoundError,
  SecretUnavailableError,
  SourceUnreachableError,
} from '../../../agent/errors.ts';
import { SecretCache } from '../../../agent/secret-cache.ts';
import { DatabaseLease } from '../../../agent/vault/database-lease.ts';
import { kvSource } from '../../../agent/vault/kv-source.ts';
import { tokenFileLogin, type VaultLogin } from '../../../agent/vault/login.ts';
import { TokenKeeper } from '../../../agent/vault/token.ts';
import { FakeVault } from './fake-vault.ts';
import { VirtualTime } from './virtual-time.ts';

const path = 'agents/billing-7/llm';
const refused = new SecretDeniedError('Vault refuses auth/kubernetes/login (403)');
let time: VirtualTime;
let vault: FakeVault;

/** An agent's cache and login of a database, over one token. */
function agentOf(
  login: VaultLogin = async () => ({ path: 'auth/kubernetes/login', body: { role: 'billing' } }),
) {
  const tokens = new TokenKeeper(vault.api, login, time);
  const lease = new DatabaseLease(tokens, 'database/creds/billing', time);
  tokens.onReplaced((old) => lease.leave(old));
  const options = { now: time.now, random: time.random, ttlMs: 60_000, staleMs: 3_600_000 };
  return { cache: new SecretCache(kvSource(tokens, 'secret'), options), lease };
}

beforeEach(() => {
  time = new VirtualTime();
  vault = new FakeVault(time);
});

test.each([
  ['Vault refuses', refused],
  [
    'goes to a method that Vault has not',
    new SecretNotFoundError('Vault has nothing at auth/kubernetes/login'),
  ],
])(
  'a login that %s takes no held secret away before its bound, and is known for what it is',
  async (_, by) => {
    const { cache } = agentOf();
    await cache.get(path);
    vault.loginFailure = by;
    await time.advance(600_000);
    await expect(cache.get(path)).resolves.toMatchObject({ versionId: '1' });
    expect(cache.health()).toMatchObject([{ state: 'stale', failure: 'LoginRefusedError' }]);
    await time.advance(3_000_001);
    const failure = await cache.get(path).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SecretUnavailableError);
    expect(failure).toMatchObject({
      message: expect.stringContaining(by.message),
      cause: { name: 'LoginRefusedError' },
    });
    vault.loginFailure = undefined;
    await time.advance(31_000);
    await expect(cache.get(path)).resolves.toMatchObject({ versionId: '1' });
  },
);

test('a first login that is refused is tried again for whoever looks after the health', async () => {
  const { cache } = agentOf();
  vault.loginFailure = refused;
  await expect(cache.get(path)).rejects.toThrow(SecretUnavailableError);
  vault.loginFailure = undefined;
  await time.advance(10_000);
  cache.health();
  await time.advance(0);
  expect(cache.health()).toMatchObject([{ state: 'fresh' }]);
});

test('a login of the database is used while its token lives, though the next login is refused, and ends with the token', async () => {
  vault.leaseTtl = 3_600;
  const { lease } = agentOf();
  const { leaseId } = await lease.current();
  vault.loginFailure = refused;
  await time.advance(149_000);
  expect((await lease.current()).leaseId).toBe(leaseId);
  // Vault is there, so it has revoked the login with the token.
  await time.advance(2_000);
  await expect(lease.current()).rejects.toThrow(LoginRefusedError);
  vault.loginFailure = undefined;
  expect(vault.works((await lease.current()).leaseId)).toBe(true);
});

test.each<[string, VaultLogin]>([
  ["a token's file that can't be read", tokenFileLogin('/nowhere/token')],
  [
    "a secret id that can't be had",
    async () => {
      throw new SecretDeniedError('agents/billing-7/approle is denied');
    },
  ],
])('with %s for a moment, what is held is used as while Vault is away', async (_, broken) => {
  vault.leaseTtl = 3_600;
  let isBroken = false;
  const { cache, lease } = agentOf(async () =>
    isBroken ? broken() : { path: 'auth/kubernetes/login', body: { role: 'billing' } },
  );
  await cache.get(path);
  const { leaseId } = await lease.current();
  isBroken = true;
  await time.advance(600_000);
  await expect(cache.get(path)).resolves.toMatchObject({ versionId: '1' });
  expect((await lease.current()).leaseId).toBe(leaseId);
});

test('what to log in with is named where it is missing, and by its class alone where it is foreign', async () => {
  const missing = agentOf(tokenFileLogin('/nowhere/token')).lease.current();
  await expect(missing).rejects.toThrow(SourceUnreachableError);
  await expect(missing).rejects.toThrow('/nowhere/token');
  const foreign = agentOf(async () => {
    throw new TypeError('canary');
  }).lease.current();
  await expect(foreign).rejects.toThrow(SourceUnreachableError);
  await expect(foreign).rejects.toThrow('TypeError');
  await expect(foreign).rejects.not.toThrow('canary');
});
