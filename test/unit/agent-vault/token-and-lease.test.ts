import { beforeEach, expect, test } from 'vitest';
import { AgentClosedError, SecretDeniedError, SourceUnreachableError } from '../../../agent/errors.ts';
import { type DatabaseCredential, DatabaseLease } from '../../../agent/vault/database-lease.ts';
import { TokenKeeper } from '../../../agent/vault/token.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { FakeVault } from './fake-vault.ts';
import { VirtualTime } from './virtual-time.ts';

let time: VirtualTime;
let vault: FakeVault;
let tokens: TokenKeeper;

beforeEach(() => {
  time = new VirtualTime();
  vault = new FakeVault(time);
  const login = async () => ({ path: 'auth/kubernetes/login', body: { role: 'billing', jwt: 'jwt' } });
  tokens = new TokenKeeper(vault.api, login, time);
});

/** A lease that goes over to another token with the client, as all of a client's do. */
function leaseOf(keeper = tokens): DatabaseLease {
  const lease = new DatabaseLease(keeper, 'database/creds/billing', time);
  keeper.onReplaced((old) => lease.leave(old));
  return lease;
}

test('a token is renewed at two thirds of its TTL, and nobody notices', async () => {
  await tokens.current();
  await time.advance(39_000);
  expect(vault.said).toEqual(['login token-1']);
  await time.advance(2_000);
  expect(vault.said).toEqual(['login token-1', 'POST auth/token/renew-self by token-1']);
});

test('before its max TTL another login overlaps, and only then the old token is revoked', async () => {
  const first = await tokens.current();
  await time.advance(145_000);
  const second = await tokens.current();
  expect(second.value).not.toBe(first.value);
  const [login, revoked] = [
    vault.said.indexOf('login token-2'),
    vault.said.indexOf('POST auth/token/revoke-self by token-1'),
  ];
  expect(login).toBeGreaterThan(0);
  expect(revoked).toBeGreaterThan(login);
});

test('logins at the same time are one', async () => {
  await Promise.all([tokens.current(), tokens.current(), tokens.request('GET', 'secret/data/x')]);
  expect(vault.said.filter((said) => said.startsWith('login'))).toHaveLength(1);
});

test('a token that was revoked meanwhile costs one more login, not a failure', async () => {
  await tokens.current();
  vault.revoke('token-1');
  await expect(tokens.request('GET', 'secret/data/x')).resolves.toMatchObject({ data: {} });
  expect(vault.said).toContain('login token-2');
});

test('a request that is under way while its token is replaced is done once more with the new one', async () => {
  const { promise, resolve: goOn } = Promise.withResolvers<void>();
  vault.kv = promise;
  const answer = tokens.request('GET', 'secret/data/x');
  await time.advance(145_000);
  expect(vault.alive).toEqual(['token-2']);
  goOn();
  await expect(answer).resolves.toMatchObject({ data: {} });
  expect(vault.count('login')).toBe(2);
});

test('after an outage in which the token ended there is one login, and no token is left behind', async () => {
  await tokens.current();
  vault.away = true;
  await time.advance(61_000);
  vault.away = false;
  await tokens.request('GET', 'secret/data/x');
  await time.advance(10_000);
  expect(vault.alive).toEqual(['token-2']);
  await tokens[Symbol.asyncDispose]();
  expect(vault.alive).toEqual([]);
});

test('nobody logs in any more once the keeper is disposed of', async () => {
  await tokens.current();
  await tokens[Symbol.asyncDispose]();
  await expect(tokens.request('GET', 'secret/data/x')).rejects.toThrow(AgentClosedError);
  expect(vault.alive).toEqual([]);
});

test('a refusal that is about rights stands, and costs no login', async () => {
  const refusing = new TokenKeeper(
    async (method, path, more) => {
      if (path === 'secret/data/others') throw new SecretDeniedError('rights');
      return vault.api(method, path, more);
    },
    async () => ({ path: 'auth/kubernetes/login', body: {} }),
    time,
  );
  await expect(refusing.request('GET', 'secret/data/others')).rejects.toThrow(SecretDeniedError);
  expect(vault.said.filter((said) => said.startsWith('login'))).toHaveLength(1);
  await refusing[Symbol.asyncDispose]();
});

test("another's token is neither revoked nor given up", async () => {
  await vault.api('POST', 'auth/kubernetes/login');
  const theirs = new TokenKeeper(vault.api, async () => ({ token: SecretValue.of('token-1') }), time);
  await theirs.current();
  await theirs[Symbol.asyncDispose]();
  expect(vault.said.join()).not.toContain('revoke');
});

test('at every moment of ten minutes the login works, through renewals, replacements and new tokens', async () => {
  await using lease = leaseOf();
  const used = new Set<string>();
  const told: string[] = [];
  lease.onChange(({ username }: DatabaseCredential) => told.push(username));
  for (let second = 0; second < 600; second += 1) {
    const { leaseId } = await lease.current();
    expect(vault.works(leaseId), `${leaseId} at ${second} s`).toBe(true);
    used.add(leaseId);
    await time.advance(1_000);
  }
  expect(used.size).toBeGreaterThan(2);
  expect(told).toEqual([...used]);
});

test('while Vault is away a login is used to its end and no longer, and then anew at once', async () => {
  await using lease = leaseOf();
  const { leaseId } = await lease.current();
  vault.away = true;
  await time.advance(50_000);
  expect((await lease.current()).leaseId).toBe(leaseId);
  await time.advance(11_000);
  await expect(lease.current()).rejects.toThrow(SourceUnreachableError);
  vault.away = false;
  expect(vault.works((await lease.current()).leaseId)).toBe(true);
});

test('a login that was revoked with its token is not given out, once the token is known to be gone', async () => {
  vault.leaseTtl = 3_600;
  await using lease = leaseOf();
  await lease.current();
  vault.revoke('token-1');
  await tokens.request('GET', 'secret/data/x');
  expect(vault.works((await lease.current()).leaseId)).toBe(true);
  expect(vault.count('GET database/creds')).toBe(2);
});

test('a login that was revoked with its token is replaced, though nobody asks for it', async () => {
  vault.leaseTtl = 3_600;
  await using lease = leaseOf();
  await lease.current();
  const told: string[] = [];
  lease.onChange(({ leaseId }) => told.push(leaseId));
  vault.revoke('token-1');
  await tokens.request('GET', 'secret/data/x');
  await time.advance(0);
  expect(told.map((leaseId) => vault.works(leaseId))).toEqual([true]);
});

test('a machine that was suspended for longer than its token lives gives out no login of that time', async () => {
  vault.leaseTtl = 3_600;
  await using lease = leaseOf();
  await lease.current();
  time.suspend(100_000);
  expect(vault.works((await lease.current()).leaseId)).toBe(true);
  expect(vault.count('GET database/creds')).toBe(2);
});

test('while Vault is away and can revoke nothing, a login outlives its token, and is replaced when Vault is back', async () => {
  vault.leaseTtl = 3_600;
  await using lease = leaseOf();
  const { leaseId } = await lease.current();
  vault.away = true;
  await time.advance(600_000);
  expect((await lease.current()).leaseId).toBe(leaseId);
  vault.away = false;
  await time.advance(60_000);
  expect(vault.works((await lease.current()).leaseId)).toBe(true);
});

test('after an outage in which the lease ended there is one login', async () => {
  vault.ttl = 3_600;
  await using lease = leaseOf();
  await lease.current();
  vault.away = true;
  await time.advance(61_000);
  vault.away = false;
  const { leaseId } = await lease.current();
  await time.advance(10_000);
  expect((await lease.current()).leaseId).toBe(leaseId);
  expect(vault.count('GET database/creds')).toBe(2);
});

test('a token at its max TTL is not revoked before the logins have gone over, however long the database takes', async () => {
  vault.leaseTtl = 3_600;
  let isFailing = false;
  const keeper = new TokenKeeper(
    async (method, path, more) => {
      if (path.startsWith('database/') && isFailing) throw new SourceUnreachableError('500');
      return vault.api(method, path, more);
    },
    async () => ({ path: 'auth/kubernetes/login', body: {} }),
    time,
  );
  await using lease = leaseOf(keeper);
  await lease.current();
  for (let second = 0; second < 200; second += 1) {
    isFailing = second < 146;
    const { leaseId } = await lease.current();
    expect(vault.works(leaseId), `${leaseId} at ${second} s`).toBe(true);
    await time.advance(1_000);
  }
  expect(vault.alive).toEqual(['token-2']);
});

test('a login that is being made while its token is replaced is replaced as well', async () => {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  vault.leaseTtl = 3_600;
  await using lease = leaseOf();
  await tokens.current();
  await time.advance(120_000);
  vault.database = promise;
  const made = lease.current();
  await time.advance(25_000);
  expect(vault.count('login')).toBe(2);
  answer();
  await made;
  await time.advance(1_000);
  expect(vault.alive).toEqual(['token-2']);
  expect(vault.works((await lease.current()).leaseId)).toBe(true);
});

test('whoever was refused gets another login, and all who were refused the same one', async () => {
  await using lease = leaseOf();
  const { leaseId } = await lease.current();
  await time.advance(2_000);
  const all = await Promise.all([lease.refresh(), lease.refresh()]);
  await time.advance(1_999);
  all.push(await lease.refresh(), await lease.current());
  expect(new Set(all.map((one) => one.leaseId))).toEqual(new Set(['lease-2']));
  await time.advance(1);
  expect(await lease.refresh()).toMatchObject({ leaseId: 'lease-3' });
  // Others may still use it.
  expect(vault.works(leaseId)).toBe(true);
});

test('whoever was refused for the end of a token that nobody knew of gets a login that works, by one request', async () => {
  vault.leaseTtl = 3_600;
  await using lease = leaseOf();
  await lease.current();
  vault.revoke('token-1');
  await time.advance(2_000);
  expect(vault.works((await lease.refresh()).leaseId)).toBe(true);
  await time.advance(2_000);
  expect(vault.count('GET database/creds')).toBe(2);
});

test('while Vault is away, whoever was refused gets what is held', async () => {
  await using lease = leaseOf();
  const { leaseId } = await lease.current();
  vault.away = true;
  await time.advance(2_000);
  expect(await lease.refresh()).toMatchObject({ leaseId });
});

test('disposing revokes the logins that may still work, and asks for none whose lease has ended', async () => {
  vault.maxTtl = 86_400;
  const lease = leaseOf();
  const ids = new Set<string>();
  for (let minute = 0; minute < 30; minute += 1) {
    ids.add((await lease.current()).leaseId);
    await time.advance(60_000);
  }
  await lease.refresh();
  const open = [...ids, (await lease.current()).leaseId].filter((leaseId) => vault.works(leaseId));
  expect(open.length).toBeGreaterThan(1);
  await lease[Symbol.asyncDispose]();
  expect(open.filter((leaseId) => vault.works(leaseId))).toEqual([]);
  expect(vault.count('PUT sys/leases/revoke')).toBe(open.length);
});

test('who disposes of the password takes it from nobody else', async () => {
  await using lease = leaseOf();
  {
    using _password = (await lease.current()).password;
  }
  expect((await lease.current()).password.reveal()).toMatch(/./);
});

test('disposing revokes what was made, logins first, and forgets it', async () => {
  const lease = leaseOf();
  const { leaseId, password } = await lease.current();
  await lease[Symbol.asyncDispose]();
  await tokens[Symbol.asyncDispose]();
  expect(vault.said.slice(-2)).toEqual([
    'PUT sys/leases/revoke by token-1',
    'POST auth/token/revoke-self by token-1',
  ]);
  expect(vault.works(leaseId)).toBe(false);
  expect(() => password.reveal()).toThrow('disposed');
});
