import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { root } from '../root.ts';
import type { Stack } from './start.ts';

/** What a running stack leaves in `.keyturn/`: who runs it, and how to use it. */
const folder = join(root, '.keyturn');
const processFile = join(folder, 'stack.json');
export const environmentFile = join(folder, 'env');
const commands = join(folder, 'bin');
export const logFolder = join(folder, 'logs');
/** Of a stack that runs detached. Beside the parts' logs, which each start empties. */
export const stackLog = join(folder, 'stack.log');

const running = z.object({ pid: z.number().int().positive() });

/** The process of the stack that this checkout runs; undefined where it runs none, or its process was killed. */
export function runningStack(): { pid: number } | undefined {
  if (!existsSync(processFile)) return undefined;
  const { pid } = running.parse(JSON.parse(readFileSync(processFile, 'utf8')));
  return isAlive(pid) ? { pid } : undefined;
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0) && !hasEnded(pid);
  } catch {
    return false;
  }
}

/** A process that was killed keeps its number until its parent asks for its exit code, which a container's first may never do. */
function hasEnded(pid: number): boolean {
  const status = `/proc/${pid}/status`;
  return existsSync(status) && /^State:\s+Z/m.test(readFileSync(status, 'utf8'));
}

/** Says that this process runs the stack, before it starts, so that two starts at once don't both go on. */
export function claimStack(): void {
  mkdirSync(folder, { recursive: true });
  rmSync(environmentFile, { force: true });
  writeFileSync(processFile, JSON.stringify({ pid: process.pid }));
}

/**
 * Writes the file to source. Its being there says that the stack is ready. `keyturn` is a command then, run by this Node: the
 * shell's may be too old for it.
 */
export function writeEnvironment({ environment }: Pick<Stack, 'environment'>): void {
  mkdirSync(commands, { recursive: true });
  const command = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'cli/keyturn.mjs')}' "$@"\n`;
  writeFileSync(join(commands, 'keyturn'), command, { mode: 0o755 });
  const lines = Object.entries(environment).map(([name, value]) => `export ${name}='${value}'\n`);
  lines.push(`export PATH='${commands}':"$PATH"\n`);
  writeFileSync(environmentFile, lines.join(''), { mode: 0o600 });
}

export function releaseStack(): void {
  rmSync(environmentFile, { force: true });
  rmSync(processFile, { force: true });
}
