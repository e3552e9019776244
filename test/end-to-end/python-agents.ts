import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../local/root.ts';

const run = promisify(execFile);

/** Runs a Python agent as its platform would: with its own environment, and nothing of ours. */
export async function pythonAgent(script: string, environment: Record<string, string>): Promise<unknown> {
  const { stdout } = await run(
    join(root, '.keyturn/venv/test/bin/python'),
    [join(root, 'test/end-to-end/python', script)],
    { env: environment },
  );
  return JSON.parse(stdout);
}

/** `keyturn agent`, as a process. */
export async function startSidecarProcess(
  flags: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { readonly url: string }> {
  const child = spawn(process.execPath, [join(root, 'cli/keyturn.mjs'), 'agent', '--port', '0', ...flags], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { url: await urlSaid(child), [Symbol.asyncDispose]: () => ended(child) };
}

async function urlSaid(child: ChildProcess): Promise<string> {
  let said = '';
  for await (const chunk of child.stdout ?? []) {
    said += chunk;
    const url = /on (http:\S+)\n/.exec(said)?.[1];
    if (url) return url;
  }
  throw new Error('The sidecar ended before it listened');
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}
