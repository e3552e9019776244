import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../local/root.ts';

const run = promisify(execFile);

/** `keyturn ...`, as an operator's shell would run it. */
export async function keyturnCommand(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<{ readonly stdout: string }> {
  return run(process.execPath, [join(root, 'cli/keyturn.mjs'), ...words], {
    env: { PATH: process.env.PATH, ...environment },
  });
}
