// npm run local [-- --detach]: the stack without the tour.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { until } from '../until.ts';
import {
  claimStack,
  environmentFile,
  isAlive,
  logFolder,
  releaseStack,
  runningStack,
  stackLog,
  writeEnvironment,
} from './files.ts';
import { stackPorts } from './ports.ts';
import { startStack } from './start.ts';

const usage = `keyturn: ready. In another shell:

    source .keyturn/env
    keyturn status
    aws secretsmanager list-secrets
    aws events list-rules --event-bus-name keyturn-local

Logs are in .keyturn/logs; npm run local:stop ends it.`;

const { values } = parseArgs({ options: { detach: { type: 'boolean', default: false } } });
const other = runningStack();
if (other) {
  console.error(
    `keyturn: the stack of this checkout runs already (process ${other.pid}); npm run local:stop ends it.`,
  );
  process.exitCode = 1;
} else if (values.detach) {
  await detached();
} else {
  await inForeground();
}

async function inForeground(): Promise<void> {
  const stopped = Promise.race(['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => once(process, signal)));
  claimStack();
  try {
    await using stack = await startStack({
      ports: await stackPorts(process.env.KEYTURN_PORT),
      logs: logFolder,
      say: (step) => console.log(`keyturn: ${step}`),
    });
    writeEnvironment(stack);
    console.log(usage);
    await stopped;
    console.log('keyturn: stopping');
  } finally {
    releaseStack();
  }
  process.exit();
}

/** Runs this very file as a process that outlives us, and waits until it is ready. */
async function detached(): Promise<void> {
  mkdirSync(dirname(stackLog), { recursive: true });
  const log = openSync(stackLog, 'w');
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const { pid } = child;
  if (pid === undefined) throw new Error('The stack did not start');
  child.unref();
  console.log('keyturn: starting, which takes about half a minute');
  const ready = await until(
    `the stack is ready (its log: ${stackLog})`,
    async () => {
      if (existsSync(environmentFile) && runningStack()?.pid === pid) return 'ready';
      return isAlive(pid) ? undefined : 'ended';
    },
    180_000,
  );
  if (ready === 'ended') throw new Error(`The stack ended; see ${stackLog}`);
  console.log(usage);
}
