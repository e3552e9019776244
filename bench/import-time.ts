import { spawnSync } from 'node:child_process';
import { percentile } from '../local/tour/report.ts';

const runs = 15;

/** How long each module takes to import in a fresh process, in milliseconds: the median of runs that take turns. */
export function importTimes(
  files: readonly string[],
  environment: Record<string, string>,
): readonly number[] {
  const times = files.map((): number[] => []);
  for (let run = 0; run < runs; run += 1) {
    for (const [index, file] of files.entries()) times[index]?.push(importTime(file, environment));
  }
  return times.map((of) => percentile(of, 0.5));
}

function importTime(file: string, environment: Record<string, string>): number {
  const script = `const began = performance.now(); await import(${JSON.stringify(file)}); console.log(performance.now() - began)`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH ?? '', ...environment },
  });
  if (status !== 0) throw new Error(`${file} can't be imported: ${stderr}`);
  return Number(stdout);
}
