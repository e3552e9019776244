import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './root.ts';

const run = promisify(execFile);

/**
 * `keyturn ...`, as an operator's shell would run it. Fails where it ends with anything but 0, except for the codes that are
 * `expected`: 3 says that a person should look.
 */
export async function keyturnCommand(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
  expected: readonly number[] = [],
): Promise<{ readonly stdout: string }> {
  try {
    return await run(process.execPath, [join(root, 'cli/keyturn.mjs'), ...words], {
      env: { PATH: process.env.PATH, ...environment },
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'stdout' in error && typeof error.stdout === 'string') {
      if (expected.some((code) => code === error.code)) return { stdout: error.stdout };
      const said = 'stderr' in error ? String(error.stderr).trim() : '';
      throw new Error(`keyturn ${words.join(' ')} ended with ${error.code}: ${said}`);
    }
    throw error;
  }
}
