// npm start: Keyturn, whole, on this machine: three agents under load through everything that may happen to a credential.
//   --rotations N   rotations by hand, in all (6)
//   --keep          leave the stack running afterwards, until Ctrl-C
//   --report FILE   write the figures and the checks as JSON
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pc from 'picocolors';
import { clientsOf } from '../stack/clients.ts';
import {
  claimStack,
  environmentFile,
  logFolder,
  releaseStack,
  runningStack,
  writeEnvironment,
} from '../stack/files.ts';
import { stackPorts } from '../stack/ports.ts';
import { startStack } from '../stack/start.ts';
import { table } from './report.ts';
import { runTour } from './run.ts';

const { values } = parseArgs({
  options: {
    rotations: { type: 'string', default: '6' },
    keep: { type: 'boolean', default: false },
    report: { type: 'string' },
  },
});
const began = performance.now();
const say = (line: string) =>
  console.log(`${pc.dim(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s`)}  ${line}`);

process.exitCode = await main();
process.exit();

async function main(): Promise<number> {
  const rotations = Number(values.rotations);
  if (!Number.isInteger(rotations) || rotations < 1) {
    console.error('keyturn: --rotations expects a whole number, at least 1');
    return 2;
  }
  const other = runningStack();
  if (other) {
    console.error(
      `keyturn: a stack of this checkout runs already (process ${other.pid}); npm run local:stop ends it.`,
    );
    return 1;
  }
  const interrupted = Promise.race(['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => once(process, signal)));
  claimStack();
  try {
    const movedAt = new Map<string, number>();
    await using stack = await startStack({
      ports: await stackPorts(process.env.KEYTURN_PORT),
      logs: logFolder,
      say,
      onLabelMoved: ({ label, to }) => {
        if (label === 'AWSCURRENT') movedAt.set(to, Date.now());
      },
    });
    writeEnvironment(stack);
    const unsealKey =
      /Unseal Key: (\S+)/.exec(readFileSync(join(stack.logs, 'openbao.log'), 'utf8'))?.[1] ?? '';
    const touring = runTour({ stack, clients: clientsOf(stack), say, movedAt, rotations, unsealKey });
    const report = await Promise.race([touring, interrupted.then(() => undefined)]);
    if (!report) return 130;
    console.log(table(report));
    if (values.report !== undefined)
      writeFileSync(values.report, `${JSON.stringify(report, undefined, 2)}\n`);
    const failed = report.checks.filter(({ ok }) => !ok).length;
    say(
      failed === 0
        ? pc.green('every check held')
        : pc.red(`${failed} checks failed; logs are in ${stack.logs}`),
    );
    if (values.keep) {
      say(`kept running: source ${environmentFile}; Ctrl-C ends it`);
      await interrupted;
    }
    return failed === 0 ? 0 : 1;
  } finally {
    releaseStack();
  }
}
