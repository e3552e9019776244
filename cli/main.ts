import { CalledWronglyError, exit, InterruptedError } from './exit.ts';
import { sentenceOf } from './failure.ts';
import { programFor } from './program.ts';
import { outputClosed } from './stop.ts';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  outputClosed();
});

try {
  const { program, args } = await programFor(process.argv.slice(2));
  await program.parseAsync(args, { from: 'user' });
} catch (error) {
  console.error(`keyturn: ${sentenceOf(error)}`);
  process.exitCode =
    error instanceof CalledWronglyError
      ? exit.calledWrongly
      : error instanceof InterruptedError
        ? exit.interrupted
        : exit.failed;
}
