import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';

/** A query, `hold`, that the server has taken, and answers when told. */
interface Held {
  readonly username: string;
  answer(): void;
}

/**
 * As much of PostgreSQL's wire protocol as it takes to log in by password and to answer each query with the name of the
 * login that sent it. Real sockets and the real `pg`; what is decided here is who may log in, and when a query ends.
 */
export class PostgresServer implements AsyncDisposable {
  /** Passwords by login: what may connect. */
  readonly logins = new Map<string, string>();
  /** Sessions that are open, by login. */
  readonly sessions = new Map<Socket, string>();
  /** Logins that were tried, refused ones included. */
  readonly tried: string[] = [];
  readonly held: Held[] = [];
  /** Logins wait for it. */
  gate: Promise<void> = Promise.resolve();
  #happening = Promise.withResolvers<void>();
  readonly #server: Server = createServer((socket) => this.#serve(socket));

  async listening(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address: string | AddressInfo | null = this.#server.address();
    if (typeof address !== 'object' || address === null) throw new Error('The server listens on no port');
    return address.port;
  }

  /** Resolves once the condition holds; looked at again with each thing that happens to the server. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#happening.promise;
  }

  open(username: string): number {
    return [...this.sessions.values()].filter((open) => open === username).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sessions.keys()) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    let received = Buffer.alloc(0);
    let username = '';
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.sessions.delete(socket);
      this.changed();
    });
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      for (;;) {
        const header = username === '' ? 0 : 1;
        if (received.length < header + 4) return;
        const length = received.readInt32BE(header) + header;
        if (received.length < length) return;
        const type = header === 0 ? 'startup' : String.fromCharCode(received[0] ?? 0);
        const body = received.subarray(header + 4, length);
        received = received.subarray(length);
        if (type === 'startup') {
          username = texts(body.subarray(4))[1] ?? '?';
          socket.write(message('R', int32(3)));
        } else if (type === 'p') void this.#login(socket, username, texts(body)[0] ?? '');
        else if (type === 'Q') this.#query(socket, username, texts(body)[0] ?? '');
        else if (type === 'X') socket.end();
      }
    });
  }

  async #login(socket: Socket, username: string, password: string): Promise<void> {
    this.tried.push(username);
    this.changed();
    await this.gate;
    if (this.logins.get(username) !== password) {
      socket.end(message('E', text('SFATAL'), text('C28P01'), text('Mpassword authentication failed'), NUL));
      return;
    }
    this.sessions.set(socket, username);
    socket.write(Buffer.concat([message('R', int32(0)), READY]));
    this.changed();
  }

  #query(socket: Socket, username: string, statement: string): void {
    if (statement === 'fail') {
      socket.write(
        Buffer.concat([message('E', text('SERROR'), text('C42601'), text('Msyntax'), NUL), READY]),
      );
      return;
    }
    const answer = () =>
      socket.write(
        Buffer.concat([
          message(
            'T',
            int16(1),
            text('login'),
            int32(0),
            int16(0),
            int32(25),
            int16(-1),
            int32(-1),
            int16(0),
          ),
          message('D', int16(1), int32(username.length), Buffer.from(username)),
          message('C', text('SELECT 1')),
          READY,
        ]),
      );
    if (statement === 'hold') this.held.push({ username, answer });
    else answer();
    this.changed();
  }

  /** Something happened that `until` may wait for; tests call it for what happens outside the server. */
  changed(): void {
    const { resolve } = this.#happening;
    this.#happening = Promise.withResolvers<void>();
    resolve();
  }
}

const NUL = Buffer.from([0]);
const READY = message('Z', Buffer.from('I'));

function message(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from(value), NUL]);
}

function texts(body: Buffer): readonly string[] {
  return body.toString().split('\0');
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(value);
  return buffer;
}
