// npm run local:stop: ends the stack that this checkout runs, and waits until it has.
import { until } from '../until.ts';
import { isAlive, releaseStack, runningStack } from './files.ts';

const stack = runningStack();
if (!stack) {
  releaseStack();
  console.log('keyturn: nothing runs here');
} else {
  process.kill(stack.pid, 'SIGTERM');
  await until('the stack has ended', async () => !isAlive(stack.pid));
  console.log('keyturn: stopped');
}
