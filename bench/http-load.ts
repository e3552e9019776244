// Asks a server as fast as it can:  node http-load.ts URL TOKEN CONNECTIONS MILLISECONDS
// Sends { perSecond, p99Ms } to its parent. Sockets are used bare, so that little of the machine goes into asking.
import { connect } from 'node:net';
import { percentile } from '../local/tour/report.ts';

const [url = '', token = '', connections = '64', milliseconds = '2000'] = process.argv.slice(2);
const { hostname, port, host, pathname, search } = new URL(url);
const request = `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nX-Aws-Parameters-Secrets-Token: ${token}\r\n\r\n`;
const end = performance.now() + Number(milliseconds);
const latencies: number[] = [];

await Promise.all(Array.from({ length: Number(connections) }, connection));
process.send?.({
  perSecond: (latencies.length / Number(milliseconds)) * 1_000,
  p99Ms: percentile(latencies, 0.99),
});
process.disconnect?.();

function connection(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let began = 0;
    let left = 0;
    const ask = () => {
      began = performance.now();
      left = -1;
      socket.write(request);
    };
    socket.setNoDelay(true).once('connect', ask).once('error', reject);
    socket.on('data', (chunk: Buffer) => {
      left = (left < 0 ? lengthOf(chunk) : left) - chunk.length;
      if (left > 0) return;
      latencies.push(performance.now() - began);
      if (performance.now() < end) ask();
      else socket.end(resolve);
    });
  });
}

/** Of the whole answer, whose head comes in one piece. */
function lengthOf(chunk: Buffer): number {
  const head = chunk.indexOf('\r\n\r\n') + 4;
  const text = chunk.toString('latin1', 0, head);
  if (!text.startsWith('HTTP/1.1 200')) throw new Error(`Not answered: ${text.slice(0, 40)}`);
  return head + Number(/content-length: (\d+)/i.exec(text)?.[1]);
}
