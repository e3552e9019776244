import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../local/root.ts';
import { percentile } from '../local/tour/report.ts';
import type { Figure } from './figure.ts';

const runs = 15;

/** `keyturn --help` beside a process of Node that does nothing; the two take turns. */
export async function helpTime(): Promise<readonly Figure[]> {
  const help: number[] = [];
  const bare: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    help.push(timed([join(root, 'cli/keyturn.mjs'), '--help']));
    bare.push(timed(['-e', '']));
  }
  const value = Number((percentile(help, 0.5) / percentile(bare, 0.5)).toFixed(2));
  return [
    { name: 'keyturn --help beside a bare Node', value, unit: 'times', goal: '<= 5', holds: value <= 5 },
  ];
}

function timed(args: readonly string[]): number {
  const began = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status !== 0) throw new Error(`node ${args.join(' ')} failed`);
  return performance.now() - began;
}
