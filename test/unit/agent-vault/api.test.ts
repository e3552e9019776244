import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { vaultApi } from '../../../agent/vault/api.ts';

test('a time-out longer than a timer can wait is as long as one can', async () => {
  const server = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  if (at === null || typeof at === 'string') throw new Error('The server has no port');
  const api = vaultApi({ address: `http://127.0.0.1:${at.port}`, timeoutMs: Number.POSITIVE_INFINITY });
  await expect(api('GET', 'sys/health')).resolves.toEqual({});
  server.closeAllConnections();
  server.close();
});
