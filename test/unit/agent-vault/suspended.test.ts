import { beforeEach, expect, test } from 'vitest';
import { DatabaseLease } from '../../../agent/vault/database-lease.ts';
import { TokenKeeper } from '../../../agent/vault/token.ts';
import { FakeVault } from './fake-vault.ts';
import { VirtualTime } from './virtual-time.ts';

const minute = 60_000;
const day = 1_440 * minute;
let time: VirtualTime;
let vault: FakeVault;
let lease: DatabaseLease;
let told: string[];

beforeEach(() => {
  time = new VirtualTime();
  vault = new FakeVault(time);
  vault.ttl = 60 * 86_400;
  vault.maxTtl = 600 * 86_400;
  vault.leaseTtl = 3_600;
  const login = async () => ({ path: 'auth/kubernetes/login', body: { role: 'billing' } });
  const tokens = new TokenKeeper(vault.api, login, time);
  lease = new DatabaseLease(tokens, 'database/creds/billing', time);
  tokens.onReplaced((old) => lease.leave(old));
  told = [];
  lease.onChange(({ leaseId }) => told.push(leaseId));
});

test('a machine that wakes up late in a lease tells of the next login before that ends', async () => {
  vault.leaseMaxTtl = 3_600;
  const { leaseId } = await lease.current();
  await time.advance(5 * minute);
  time.suspend(50 * minute);
  await time.advance(30_000);
  expect(vault.works(leaseId)).toBe(true);
  expect(told).toEqual(['lease-1', 'lease-2']);
});

test('one that wakes up after the end tells of the next login within half a minute, though nobody asks', async () => {
  await lease.current();
  time.suspend(120 * minute);
  await time.advance(30_000);
  expect(told.map((leaseId) => vault.works(leaseId))).toEqual([false, true]);
});

test('what lives for longer than a timer can wait is renewed at two thirds of its time all the same', async () => {
  vault.leaseTtl = 60 * 86_400;
  vault.leaseMaxTtl = 600 * 86_400;
  const { leaseId } = await lease.current();
  vault.said.length = 0;
  time.suspend(39 * day);
  await time.advance(minute);
  expect(vault.said).toEqual([]);
  time.suspend(day);
  await time.advance(minute);
  expect(vault.said.toSorted()).toEqual([
    'POST auth/token/renew-self by token-1',
    'PUT sys/leases/renew by token-1',
  ]);
  time.suspend(39 * day);
  await time.advance(minute);
  expect(vault.works(leaseId)).toBe(true);
});
