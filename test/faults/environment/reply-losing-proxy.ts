import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import * as z from 'zod';

export interface ReplyLosingProxy extends AsyncDisposable {
  readonly port: number;
  /** The next command of this tag (`ALTER ROLE`) is done, and its reply never arrives. */
  loseReplyTo(tag: string): void;
  hasLost(): boolean;
}

/** Stands in front of a PostgreSQL server without TLS, whose replies it can lose: it breaks the connection in their place. */
export async function startReplyLosingProxy(upstreamPort: number): Promise<ReplyLosingProxy> {
  const sockets = new Set<Socket>();
  let losing: string | undefined;
  let hasLost = false;
  const server = createServer((client) => {
    const upstream = connect(upstreamPort, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      // The tag of a command that is done ends with a zero byte.
      if (losing === undefined || !chunk.includes(`${losing}\0`)) return void client.write(chunk);
      losing = undefined;
      hasLost = true;
      client.resetAndDestroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = z.object({ port: z.number() }).parse(server.address());
  return {
    port,
    loseReplyTo(tag) {
      losing = tag;
      hasLost = false;
    },
    hasLost: () => hasLost,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
