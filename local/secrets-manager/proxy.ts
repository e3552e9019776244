import { Agent, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';

const agent = new Agent({ keepAlive: false });
/** These concern one connection only, and each side of the proxy has its own. */
const OF_ONE_CONNECTION = new Set(['connection', 'keep-alive', 'expect']);

/**
 * Hands a request on as it came and streams the answer back: method, path, body and headers, Host and signature
 * included. Where the upstream can't be reached the answer is 502.
 */
export function proxy(upstream: URL, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const forwarded = request({
    agent,
    host: upstream.hostname,
    port: upstream.port,
    method: incoming.method,
    path: incoming.url,
    headers: endToEnd(incoming.rawHeaders),
    setHost: false,
  });
  forwarded.once('response', (answer) => {
    outgoing.sendDate = false;
    outgoing.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders));
    pipeline(answer, outgoing, () => undefined);
  });
  // An error after the answer began ends the connection: the client must not take a part for the whole.
  pipeline(incoming, forwarded, (error) => {
    if (!error) return;
    if (outgoing.headersSent) outgoing.destroy();
    else outgoing.writeHead(502).end('the AWS emulator behind this endpoint does not answer');
  });
  outgoing.once('close', () => forwarded.destroy());
}

function endToEnd(rawHeaders: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    if (!OF_ONE_CONNECTION.has(name.toLowerCase())) kept.push(name, value);
  }
  return kept;
}
