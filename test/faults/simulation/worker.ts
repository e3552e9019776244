// A thread that runs one plan after another. Its machine's randomness and clock are replaced, so nothing else runs here.
import { parentPort } from 'node:worker_threads';
import type { Plan } from './plan.ts';
import { simulate } from './simulate.ts';

// Errors are thrown here by the ten thousand, and their stacks would be a tenth of the run.
Error.stackTraceLimit = 0;

parentPort?.on('message', (plan: Plan) => {
  simulate(plan).then(
    (outcome) => parentPort?.postMessage({ outcome }),
    (error: unknown) =>
      parentPort?.postMessage({
        failure: error instanceof Error ? (error.stack ?? error.message) : 'unknown',
      }),
  );
});
