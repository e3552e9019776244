import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { probeVault } from '../../../functions/check-backend-health/probe-vault.ts';
import { VaultDeniedError } from '../../../shared/vault/errors.ts';

const token = (renewable: boolean) => ({ lookupToken: async () => ({ renewable, ttlSeconds: 3_600 }) });

/** Probes a Vault that answers sys/health with this status. */
async function probedAt(status: number, vault = token(true)) {
  const server = createServer((_, response) => response.writeHead(status).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  try {
    return await probeVault(`http://127.0.0.1:${address.port}`, vault, 5_000);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test('a Vault behind a path of its proxy is asked there', async () => {
  const server = createServer(({ url }, response) =>
    response.writeHead(url === '/vault/v1/sys/health' ? 200 : 503).end(),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  try {
    for (const path of ['/vault', '/vault/']) {
      const at = `http://127.0.0.1:${address.port}${path}`;
      expect(await probeVault(at, token(true), 5_000)).toBeUndefined();
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test.each([200, 429, 473])('sys/health %i: it serves', async (status) => {
  expect(await probedAt(status)).toBeUndefined();
});

test.each([
  [472, 'The Vault that answers is a disaster recovery secondary'],
  [474, 'Vault has standby nodes only and no active one'],
  [501, 'Vault is not initialised'],
  [503, 'Vault is sealed'],
  [530, 'The Vault node that answers was removed from its cluster'],
  [418, 'Vault answers sys/health with an unknown status'],
])('sys/health %i: %s', async (status, reason) => {
  expect(await probedAt(status)).toEqual({ severity: 'unhealthy', reason });
});

test('nobody answers: unhealthy', async () => {
  expect(await probeVault('http://127.0.0.1:1', token(true), 5_000)).toEqual({
    severity: 'unhealthy',
    reason: 'Vault can not be reached',
  });
});

test('a token that can not be renewed works now and ends later: degraded', async () => {
  expect(await probedAt(200, token(false))).toMatchObject({ severity: 'degraded' });
});

test('a login that Vault refuses is the failure of the probe', async () => {
  const refused = { lookupToken: () => Promise.reject(new VaultDeniedError('refused')) };
  await expect(probedAt(200, refused)).rejects.toThrow(VaultDeniedError);
});
