import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { root } from './root.ts';

/** A part of the local stack that runs as a process of its own; disposing it ends the process and waits for that. */
export type Part = AsyncDisposable & { readonly pid: number };

/**
 * Starts a part with its output in `logFile`, in a process group of its own: Ctrl-C reaches us alone, and we end the parts in
 * order. `stopSignal` is what asks it to end; it is killed where that takes over 5 s. Where we are killed, the reaper ends it.
 */
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
  const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', log, log] });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} did not start; see ${logFile}`);
  const forget = reapedAfterUs(`process ${pid}`);
  return {
    pid,
    async [Symbol.asyncDispose]() {
      await stop(child, stopSignal);
      killGroup(pid);
      forget();
    },
  };
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const killer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(killer);
}

/** What the part itself started and left, such as the workers of a Lambda service. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}

let reaper: ChildProcess | undefined;

/** Has a `process PID` or a `folder PATH` cleaned up when we end, however we end. Gives what takes it off that list. */
export function reapedAfterUs(what: `process ${number}` | `folder ${string}`): () => void {
  if (!reaper) {
    reaper = spawn(process.execPath, [join(root, 'local/reaper.ts')], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    reaper.unref();
    if (reaper.stdin instanceof Socket) reaper.stdin.unref();
  }
  const { stdin } = reaper;
  stdin?.write(`${what}\n`);
  return () => void stdin?.write(`forget ${what}\n`);
}
