// npm run soak: the deployed stack under faults with agents at full load.
//   --rotations N   in all (1000)
//   --report FILE   write the figures and the checks as JSON
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../../../local/ports.ts';
import { root } from '../../../local/root.ts';
import { clientsOf } from '../../../local/stack/clients.ts';
import { stackPorts } from '../../../local/stack/ports.ts';
import { startStack } from '../../../local/stack/start.ts';
import { startMicroburst } from '../../integration/microburst.ts';
import { soak } from './run.ts';

const { values } = parseArgs({
  options: { rotations: { type: 'string', default: '1000' }, report: { type: 'string' } },
});
const rotations = Number(values.rotations);
if (!Number.isInteger(rotations) || rotations < 1) {
  console.error('keyturn: --rotations expects a whole number, at least 1');
  process.exit(2);
}
const began = performance.now();
const say = (line: string) =>
  console.log(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
const logs = join(root, '.keyturn/soak');
mkdirSync(logs, { recursive: true });

const ports = await stackPorts(process.env.KEYTURN_PORT);
const upstream = `http://127.0.0.1:${ports.aws}`;
await using microburst = await startMicroburst({
  port: await freePort(),
  upstream,
  logFile: join(dirname(logs), 'microburst.log'),
});
const movedAt = new Map<string, number>();
await using stack = await startStack({
  ports,
  logs,
  say,
  functionsEndpoint: microburst.url,
  onLabelMoved: ({ label, to }) => {
    if (label === 'AWSCURRENT') movedAt.set(to, Date.now());
  },
});
const unsealKey = /Unseal Key: (\S+)/.exec(readFileSync(join(stack.logs, 'openbao.log'), 'utf8'))?.[1] ?? '';
const report = await soak({
  stack,
  clients: clientsOf(stack),
  microburst,
  rotations,
  unsealKey,
  movedAt,
  say,
});
for (const { name, ok } of report.checks) console.log(`${ok ? 'ok    ' : 'FAILED'}  ${name}`);
const { checks, ...figures } = report;
console.log(JSON.stringify(figures, undefined, 2));
if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(report, undefined, 2)}\n`);
process.exitCode = checks.every(({ ok }) => ok) ? 0 : 1;
