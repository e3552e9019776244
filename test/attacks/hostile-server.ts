import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** What a server that is not the agent's answers with. */
export interface HostileServer extends AsyncDisposable {
  readonly port: number;
  /** All that clients sent it, the plaintext inside TLS too. */
  received(): string;
}

const message = (type: string, body: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
};
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
export const demands = {
  /** AuthenticationCleartextPassword */
  cleartext: message('R', int32(3)),
  /** AuthenticationSASL with a mechanism that nobody has */
  unknownMechanism: message('R', Buffer.concat([int32(10), Buffer.from('PLAIN\0\0')])),
  /** AuthenticationOk at once, then an error for whatever comes next */
  ok: Buffer.concat([message('R', int32(0)), message('E', Buffer.from('SERROR\0C42501\0Mno\0\0'))]),
};

/**
 * Speaks as much of PostgreSQL's protocol as it takes to ask for a password. `tls`: what it answers to SSLRequest, `N` for no;
 * `yes, and then plaintext` says S and goes on without.
 */
export async function startHostileServer(options: {
  tls: { certificate: string; key: string } | 'N' | 'yes, and then plaintext';
  demand: Buffer;
}): Promise<HostileServer> {
  const chunks: Buffer[] = [];
  const sockets = new Set<Socket>();
  const speak = (socket: Socket | TLSSocket) => {
    socket.on('error', () => socket.destroy());
    let isAsked = false;
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      if (!isAsked) socket.write(options.demand);
      isAsked = true;
    });
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('data', (first) => {
      chunks.push(first);
      const isSslRequest = first.length === 8 && first.readInt32BE(4) === 80_877_103;
      if (!isSslRequest) {
        socket.write(options.demand);
        speak(socket);
      } else if (typeof options.tls === 'object') {
        socket.write('S');
        const { certificate: cert, key } = options.tls;
        speak(new TLSSocket(socket, { isServer: true, cert, key }));
      } else {
        socket.write(options.tls === 'N' ? 'N' : 'S');
        if (options.tls !== 'N') socket.write(options.demand);
        speak(socket);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('The server listens on no port');
  return {
    port: address.port,
    received: () => Buffer.concat(chunks).toString('latin1'),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
