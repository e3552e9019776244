import { beforeEach, expect, test } from 'vitest';
import type { AgentLog } from '../../../agent/log.ts';
import { DatabaseLease } from '../../../agent/vault/database-lease.ts';
import { TokenKeeper } from '../../../agent/vault/token.ts';
import { FakeVault } from './fake-vault.ts';
import { VirtualTime } from './virtual-time.ts';

let time: VirtualTime;
let vault: FakeVault;
let lease: DatabaseLease;
let warnings: { readonly message: string; readonly [field: string]: string }[];

beforeEach(() => {
  time = new VirtualTime();
  vault = new FakeVault(time);
  vault.ttl = 86_400;
  vault.maxTtl = 864_000;
  vault.leaseTtl = 3_600;
  vault.leaseMaxTtl = 36_000;
  warnings = [];
  const log: AgentLog = { warn: (message, fields) => warnings.push({ message, ...fields }) };
  const login = async () => ({ path: 'auth/kubernetes/login', body: { role: 'billing' } });
  const tokens = new TokenKeeper(vault.api, login, time, log);
  lease = new DatabaseLease(tokens, 'database/creds/billing', time, log);
  tokens.onReplaced((old) => lease.leave(old));
});

/** When Vault was asked for another login within so many seconds, though nobody waits for one. */
async function retriesIn(seconds: number): Promise<readonly number[]> {
  const at: number[] = [];
  for (let second = 0; second < seconds; second += 1) {
    const before = vault.asked;
    await time.advance(1_000);
    if (vault.asked > before) at.push(second);
  }
  return at;
}

test('a role that was taken away costs Vault a few requests a minute, and works again within one once it is back', async () => {
  await lease.current();
  vault.denied = ['database/creds', 'sys/leases'];
  await time.advance(3_600_000);
  expect((await retriesIn(600)).length).toBeLessThan(25);
  vault.denied = [];
  const told: string[] = [];
  lease.onChange(({ leaseId }) => told.push(leaseId));
  await time.advance(60_000);
  expect(told.map((leaseId) => vault.works(leaseId))).toEqual([true]);
});

test('the retries of a fleet spread', async () => {
  time.random = () => 0.999;
  await lease.current();
  vault.denied = ['database/creds', 'sys/leases'];
  await time.advance(3_600_000);
  const late = await retriesIn(600);
  expect(late.length).toBeGreaterThan(8);
  expect(late.length).toBeLessThan(12);
});

test('a login is tried for up to its end: a Vault that is back in the last seconds is in time', async () => {
  time.random = () => 0.999;
  const { leaseId } = await lease.current();
  vault.away = true;
  await time.advance(3_597_000);
  vault.away = false;
  await time.advance(2_999);
  expect(vault.works(leaseId)).toBe(true);
  await time.advance(1_000);
  expect(vault.works((await lease.current()).leaseId)).toBe(true);
  expect(vault.count('GET database/creds')).toBe(1);
});

test('each failed renewal is told by what it was of and the class of its failure', async () => {
  await lease.current();
  vault.denied = ['database/creds', 'sys/leases'];
  await time.advance(2_700_000);
  expect(warnings[0]).toEqual({
    message: 'What Vault gave could be neither renewed nor replaced',
    what: 'database/creds/billing',
    error: 'SecretDeniedError',
  });
  vault.denied = [];
  vault.away = true;
  await time.advance(86_400_000);
  expect(warnings).toContainEqual(
    expect.objectContaining({ what: 'token', error: 'SourceUnreachableError' }),
  );
});

test('a renewal that succeeds, and one that is cut short by the end, are nothing to tell', async () => {
  await lease.current();
  await time.advance(20_000_000);
  vault.hangMs = 5_000;
  await time.advance(2_400_000);
  warnings.length = 0;
  const closed = lease[Symbol.asyncDispose]();
  await time.advance(10_000);
  await closed;
  expect(warnings).toEqual([]);
});
