import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { root } from '../../../local/root.ts';
import { formsOf } from '../../attacks/canary.ts';
import type { Aws } from './aws.ts';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** In every secret of these tests. No command may print it. */
export const canary = 'canary-3f9a1c7e5b';

const forms = formsOf(canary);

/** Whatever way it is written in. Called for every run of the command, so that no test can forget it. */
export function assertNoSecret(args: readonly string[], shown: string): void {
  if (forms.some((form) => shown.includes(form)))
    throw new Error(`keyturn ${args.join(' ')} printed a secret`);
}

/** Begins the command as a user would, without a terminal: in a folder of theirs, or in the checkout. */
export function begun(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd = root,
): { readonly process: ChildProcess; readonly ran: Promise<Ran> } {
  const child = spawn(process.execPath, [join(root, 'cli/keyturn.mjs'), ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ran = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([stdout, stderr, [code]]) => {
      assertNoSecret(args, `${stdout}${stderr}`);
      return { code, stdout, stderr };
    },
  );
  return { process: child, ran };
}

/** Runs the command to its end. */
export const keyturn = (
  aws: Aws,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> => begun(args, { ...aws.env, ...env }).ran;
