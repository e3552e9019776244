import { exit } from './exit.ts';

const stop = new AbortController();
let isAwaited = false;

/**
 * Aborts when whoever called has had enough: Ctrl-C, a signal to end, or a pipe that nobody reads any more. For a command that
 * runs until then and has to tidy up; a second Ctrl-C ends it at once.
 */
export function stopped(): AbortSignal {
  isAwaited = true;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** Nobody reads our output any more: `keyturn status | head`. */
export function outputClosed(): void {
  if (isAwaited) stop.abort();
  else process.exit(exit.done);
}
