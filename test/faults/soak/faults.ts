import { execFileSync } from 'node:child_process';
import * as z from 'zod';
import type { Fault, Microburst } from '../../integration/microburst.ts';

const all = { service: '*' } as const;

/**
 * What AWS may answer at any time, by what is known of it. Half of all calls are as slow as AWS's own, and one in thirty fails:
 * rarely enough that the SDK's three attempts and the pipeline's own retries have something to do, and not nothing to hope for.
 */
export const weather: readonly Fault[] = [
  { service: 'secretsmanager', probability: 0.02, error: { code: 'ThrottlingException' } },
  { service: 'secretsmanager', probability: 0.01, error: { code: 'InternalServiceError' } },
  { service: 'events', probability: 0.02, error: { code: 'ThrottlingException' } },
  { service: 'sns', probability: 0.02, error: { code: 'ThrottledException' } },
  { service: 'scheduler', probability: 0.02, error: { code: 'ThrottlingException' } },
  { service: 'dynamodb', probability: 0.02, error: { code: 'ProvisionedThroughputExceededException' } },
  { ...all, probability: 0.005, reset: true },
  { service: 'secretsmanager', probability: 0.5, latency: { preset: 'secretsmanager' } },
];

const stats = z.object({ by_rule: z.array(z.object({ fired: z.number() })) });

/** How many requests a fault has met, however many: the list that microburst keeps of them ends at a thousand. */
export async function met({ url }: Microburst): Promise<number> {
  const { by_rule: rules } = stats.parse(await (await fetch(`${url}/_microburst/stats`)).json());
  return rules.reduce((sum, { fired }) => sum + fired, 0);
}

/** Ends one Lambda worker in whatever it does, as a lost host would. Gives whether there was one. */
export function killWorker(ministackPid: number, random: () => number = Math.random): boolean {
  const workers = childrenOf(ministackPid).filter(({ command }) => command.includes('node'));
  const worker = workers[Math.floor(random() * workers.length)];
  if (!worker) return false;
  try {
    process.kill(worker.pid, 'SIGKILL');
    return true;
  } catch {
    // It ended by itself meanwhile.
    return false;
  }
}

/** Ends every Lambda worker at once. Gives how many there were. */
export function killWorkers(ministackPid: number): number {
  const workers = childrenOf(ministackPid).filter(({ command }) => command.includes('node'));
  for (const { pid } of workers) process.kill(pid, 'SIGKILL');
  return workers.length;
}

/** Resident memory of a process, in MiB. */
export function residentMib(pid: number): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1_024;
}

function childrenOf(parent: number): readonly { readonly pid: number; readonly command: string }[] {
  const lines = execFileSync('ps', ['-e', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => {
    const [, pid, ppid, command = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return Number(ppid) === parent ? { pid: Number(pid), command } : [];
  });
}
