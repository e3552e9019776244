import { once } from 'node:events';
import { createServer } from 'node:http';
import * as z from 'zod';

/**
 * What becomes of a request to Vault. `lost`: it is carried out, and its answer never arrives. `held`: it gets to Vault when it
 * is let go, and the requests after it pass.
 */
export type VaultFault = 'none' | 'hangs' | 'resets' | 'lost' | 'held' | 'garbage' | number;

export interface VaultProxy extends AsyncDisposable {
  readonly address: string;
  /** From here on requests that begin so meet the fault: `POST /v1/secret/data`. */
  meet(fault: VaultFault, where?: string): void;
  isHolding(): boolean;
  letGo(): void;
}

/** Stands in front of a Vault and makes the fault of the moment. */
export async function startVaultProxy(upstream: string): Promise<VaultProxy> {
  let fault: VaultFault = 'none';
  let where = '';
  let letGo: (() => void) | undefined;
  const server = createServer(async (request, response) => {
    const meets = `${request.method} ${request.url}`.startsWith(where) ? fault : 'none';
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(z.instanceof(Uint8Array).parse(chunk));
    if (meets === 'hangs') return;
    if (meets === 'resets') return void request.socket.resetAndDestroy();
    if (meets === 'garbage') return void response.writeHead(200).end('<html>');
    if (typeof meets === 'number') return void response.writeHead(meets).end('{"errors":["canary"]}');
    if (meets === 'held') {
      fault = 'none';
      await new Promise<void>((resolve) => {
        letGo = resolve;
      });
    }
    const { 'x-vault-token': token = '' } = request.headers;
    const answer = await fetch(`${upstream}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { 'x-vault-token': String(token) },
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    const body = await answer.text();
    if (meets === 'lost') return void request.socket.resetAndDestroy();
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = z.object({ port: z.number() }).parse(server.address());
  return {
    address: `http://127.0.0.1:${port}`,
    meet(next, prefix = '') {
      fault = next;
      where = prefix;
    },
    isHolding: () => letGo !== undefined,
    letGo() {
      letGo?.();
      letGo = undefined;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
