import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';

/** A part of the local stack that runs as a process of its own; disposing it ends the process and waits for that. */
export type Part = AsyncDisposable & { readonly pid: number };

/** Starts a part with its output in `logFile`. `stopSignal` is what asks it to end; it is killed where that takes over 5 s. */
export function startPart(
  command: string,
  args: readonly string[],
  {
    logFile,
    stopSignal = 'SIGTERM',
    ...options
  }: SpawnOptions & { logFile: string; stopSignal?: NodeJS.Signals },
): Part {
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, { ...options, stdio: ['ignore', log, log] });
  if (child.pid === undefined) throw new Error(`${command} did not start; see ${logFile}`);
  return { pid: child.pid, [Symbol.asyncDispose]: () => stop(child, stopSignal) };
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const killer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(killer);
}
