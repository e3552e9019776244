import { beforeEach, expect, test } from 'vitest';
import { reveal } from '../../../agent/reveal.ts';
import { SecretCache } from '../../../agent/secret-cache.ts';
import { kvSource } from '../../../agent/vault/kv-source.ts';

const path = 'agents/billing-7/mirror';
const created = Date.parse('2026-11-24T09:00:00.700Z');
const claim = { keyturn_secret: 'arn' };
const stampOf = (id: string, number: number) => ({
  ...claim,
  keyturn_version_id: id,
  keyturn_kv_version: String(number),
});

/** What a read of the key gives: its data is that of its number, which was made so many minutes after the first. */
let key: { number: number; custom: Readonly<Record<string, string>> | null };
let reads: number;
let cache: SecretCache;

beforeEach(() => {
  reads = 0;
  const tokens = {
    async request() {
      reads += 1;
      const created_time = new Date(created + key.number * 60_000).toISOString();
      const metadata = { version: key.number, created_time, custom_metadata: key.custom };
      return { data: { data: { password: `password-${key.number}` }, metadata } };
    },
  };
  cache = new SecretCache(kvSource(tokens, 'secret'), { ttlMs: 0, wait: async () => undefined });
});

async function served() {
  const { versionId, fields } = await cache.get(path);
  return { versionId, password: reveal(fields.password) };
}

test.each([
  ['outdated', stampOf('a', 6)],
  ['not there yet', claim],
])(
  'a mirror whose stamp is %s is served by its number, and with the stamp by that, each by one read',
  async (_, custom) => {
    key = { number: 6, custom: stampOf('a', 6) };
    expect(await served()).toEqual({ versionId: 'a', password: 'password-6' });
    key = { number: 7, custom };
    expect(await served()).toEqual({ versionId: '7', password: 'password-7' });
    key.custom = stampOf('b', 7);
    expect(await served()).toEqual({ versionId: 'b', password: 'password-7' });
    expect(reads).toBe(3);
  },
);

test('what is older than a mirror without its stamp is not served after it', async () => {
  key = { number: 7, custom: stampOf('a', 6) };
  await served();
  key = { number: 6, custom: stampOf('a', 6) };
  await cache.get(path);
  expect(reads).toBeGreaterThan(2);
});

test('a key that is no mirror was made when Vault says so', async () => {
  key = { number: 0, custom: null };
  expect(await cache.get(path)).toMatchObject({ versionId: '0', createdAt: created });
});
