import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { root } from '../../local/root.ts';
import type { Stack } from '../../local/stack/start.ts';
import { blocksOf } from '../runbook/page.ts';

export interface Ran {
  readonly line: string;
  readonly code: number | null;
  /** What a person sees. */
  readonly shown: string;
}

/** The shell of whoever is on call: `keyturn`, `vault` and `aws` are there, and know the deployment. */
export interface OnCall {
  /** Where they are. */
  readonly home: string;
  run(line: string): Promise<Ran>;
  /** Runs a block of a page as it stands there, but for its capital words. */
  follow(page: string, block: number, words?: Readonly<Record<string, string>>): Promise<readonly Ran[]>;
}

/** PyPI has the AWS CLI's first version only, which reads logs by another command. */
const logsTail = (aws: string) =>
  `[ "$1 $2" = "logs tail" ] && exec ${aws} logs filter-log-events --log-group-name "$3" --output text\n`;

export function onCallOf({ environment }: Stack): OnCall {
  const home = mkdtempSync(join(tmpdir(), 'keyturn-on-call-'));
  const bin = join(home, 'bin');
  mkdirSync(bin);
  const programs = {
    keyturn: `"${process.execPath}" "${join(root, 'cli/keyturn.mjs')}"`,
    // OpenBao's own command, which takes what Vault's does.
    vault: `"${join(root, '.keyturn/venv/local/bin/bao')}"`,
    aws: `"${join(root, '.keyturn/venv/test/bin/aws')}"`,
  };
  for (const [name, program] of Object.entries(programs)) {
    const before = name === 'aws' ? logsTail(program) : '';
    writeFileSync(join(bin, name), `#!/bin/sh\n${before}exec ${program} "$@"\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const env = {
    ...environment,
    BAO_ADDR: environment.VAULT_ADDR,
    BAO_TOKEN: environment.VAULT_TOKEN,
    KEYTURN_STAGE: 'local',
    AWS_PAGER: '',
    HOME: home,
    PATH: [bin, process.env.PATH].join(delimiter),
  };
  const run = async (line: string): Promise<Ran> => {
    const shell = spawn('/bin/sh', ['-c', line], { cwd: home, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const code = new Promise<number | null>((resolve) => shell.once('close', resolve));
    const [stdout, stderr] = await Promise.all([text(shell.stdout), text(shell.stderr)]);
    return { line, code: await code, shown: stdout + stderr };
  };
  return {
    home,
    run,
    async follow(page, block, words = {}) {
      const lines = blocksOf(page)[block] ?? [];
      if (lines.length === 0) throw new Error(`The page ${page} has no block ${block} of commands`);
      const all: Readonly<Record<string, string>> = { STAGE: 'local', ...words };
      const ran: Ran[] = [];
      for (const line of lines) {
        ran.push(await run(line.replaceAll(/\b[A-Z][A-Z_]+\b/g, (word) => all[word] ?? word)));
      }
      return ran;
    },
  };
}
