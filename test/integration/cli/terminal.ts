import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { root } from '../../../local/root.ts';
import { until } from '../../../local/until.ts';
import type { Aws } from './aws.ts';
import { assertNoSecret } from './command.ts';

export interface Terminal {
  /** All that it was sent so far, control sequences included. */
  readonly shown: () => string;
  /** Types it, once `words` are on the screen. */
  readonly answer: (words: string, keys: string) => Promise<void>;
  readonly ended: Promise<Ended>;
}
export interface Ended {
  readonly code: number;
  readonly shown: string;
  /** Whether it is as a shell needs it: lines are edited and echoed, Ctrl-C interrupts, the cursor is visible. */
  readonly isSane: boolean;
}

export const ctrlC = '\u0003';

const pty = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
/** A shell that survives Ctrl-C, as a person's does, and then looks at its terminal. */
const shell =
  'stty rows 50 cols "$0"; trap : INT; "$@"; code=$?; echo; echo "exit=$code"; stty -a; exit $code';

/** Runs the command as a person would: on a terminal of its own. */
export function onTerminal(
  aws: Aws,
  args: readonly string[],
  { columns = 200, env = {} }: { columns?: number; env?: Readonly<Record<string, string>> } = {},
): Terminal {
  const command = [process.execPath, join(root, 'cli/keyturn.mjs'), ...args];
  const child = spawn(
    join(root, '.keyturn/venv/test/bin/python'),
    ['-c', pty, '/bin/sh', '-c', shell, String(columns), ...command],
    {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: '/nonexistent', TERM: 'xterm-256color', ...aws.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    shown += chunk;
  });
  const ended = once(child, 'close').then(() => {
    assertNoSecret(args, shown);
    const [screen = '', code = '', settings = ''] = shown.split(/\r\nexit=(\d+)\r\n/);
    const isSane =
      ['icanon', 'echo', 'isig'].every((flag) => settings.split(/[\s;]+/).includes(flag)) &&
      screen.lastIndexOf('\u001b[?25l') <= screen.lastIndexOf('\u001b[?25h');
    return { code: Number(code), shown: screen, isSane };
  });
  return {
    shown: () => shown,
    async answer(words, keys) {
      await until(`${words} is shown`, async () => shown.includes(words), 15_000).catch((error: unknown) => {
        child.kill();
        throw new Error(`on the screen there was: ${JSON.stringify(shown)}`, { cause: error });
      });
      child.stdin.write(keys);
    },
    ended,
  };
}
