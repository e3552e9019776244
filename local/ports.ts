import { createServer } from 'node:net';

/** A free TCP port of the loopback interface. With `next`, one whose successor is free too (OpenBao takes both). */
export async function freePort({ next = false } = {}): Promise<number> {
  for (;;) {
    const port = await portOf(0);
    if (!next || (await portOf(port + 1).catch(() => undefined)) !== undefined) return port;
  }
}

function portOf(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
