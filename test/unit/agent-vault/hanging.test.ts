import { beforeEach, expect, test } from 'vitest';
import { SourceUnreachableError } from '../../../agent/errors.ts';
import { DatabaseLease } from '../../../agent/vault/database-lease.ts';
import { TokenKeeper } from '../../../agent/vault/token.ts';
import { FakeVault } from './fake-vault.ts';
import { VirtualTime } from './virtual-time.ts';

let time: VirtualTime;
let vault: FakeVault;
let lease: DatabaseLease;

beforeEach(() => {
  time = new VirtualTime();
  vault = new FakeVault(time);
  vault.leaseTtl = 3_600;
  vault.leaseMaxTtl = 7_200;
  const login = async () => ({ path: 'auth/kubernetes/login', body: { role: 'billing' } });
  const tokens = new TokenKeeper(vault.api, login, time);
  lease = new DatabaseLease(tokens, 'database/creds/billing', time);
  tokens.onReplaced((old) => lease.leave(old));
});

/** How many milliseconds a call waited. */
async function waited(call: Promise<unknown>): Promise<number> {
  const asked = time.now();
  let came = Number.POSITIVE_INFINITY;
  const note = () => {
    came = time.now();
  };
  call.then(note, note);
  await time.advance(0);
  for (let second = 0; second < 60 && came > time.now(); second += 1) await time.advance(1_000);
  return came - asked;
}

test('while Vault hangs, one call waits for it, and every other gets the login that is held at once', async () => {
  const { leaseId } = await lease.current();
  vault.hangMs = 5_000;
  await time.advance(200_000);
  await waited(lease.current());
  for (let second = 0; second < 120; second += 1) {
    const call = lease.current();
    expect(await waited(call), `at ${second} s`).toBe(0);
    expect((await call).leaseId).toBe(leaseId);
    await time.advance(1_000);
  }
});

test('it is asked for another login every few seconds by those who use one, and not more often', async () => {
  await lease.current();
  vault.away = true;
  await time.advance(200_000);
  await lease.current();
  const before = vault.asked;
  for (let second = 0; second < 60; second += 1) {
    await lease.current();
    await time.advance(1_000);
  }
  expect(vault.asked - before).toBeGreaterThan(10);
  expect(vault.asked - before).toBeLessThan(30);
});

test('once Vault is back, those who use a login have one that works within seconds', async () => {
  await lease.current();
  vault.away = true;
  await time.advance(200_000);
  await lease.current();
  vault.away = false;
  await time.advance(5_000);
  await lease.current();
  await time.advance(0);
  expect(vault.works((await lease.current()).leaseId)).toBe(true);
});

test('whoever was refused is not kept waiting twice within two seconds', async () => {
  const { leaseId } = await lease.current();
  await time.advance(2_000);
  vault.hangMs = 5_000;
  expect(await waited(lease.refresh())).toBe(5_000);
  const again = lease.refresh();
  expect(await waited(again)).toBe(0);
  expect((await again).leaseId).toBe(leaseId);
  await time.advance(2_000);
  vault.hangMs = 0;
  expect((await lease.refresh()).leaseId).not.toBe(leaseId);
});

test('a login whose lease has ended does not stand in for one, however Vault is', async () => {
  await lease.current();
  vault.hangMs = 5_000;
  await time.advance(200_000);
  await waited(lease.current());
  await time.advance(3_600_000);
  const call = lease.current();
  await waited(call);
  await expect(call).rejects.toThrow(SourceUnreachableError);
});
