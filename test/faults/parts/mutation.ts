import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { root } from '../../../local/root.ts';
import { groups } from '../../mutation/groups.ts';

const schema = z.object({
  files: z.record(
    z.string(),
    z.object({ source: z.string(), mutants: z.array(z.object({ status: z.string() })) }),
  ),
});

/** What is asked of every group, in percent. */
export const leastScore = 85;

export interface GroupScore {
  readonly group: string;
  readonly mutants: number;
  /** Those that a test failed for, or never ended. */
  readonly killed: number;
  readonly at: Date;
  /** Of a file that was mutated and reads otherwise by now. */
  readonly changedSince: readonly string[];
}

export const mutationFolder = join(root, '.keyturn', 'mutation');
export const reportOf = (group: string, folder = mutationFolder) => join(folder, group, 'report.json');

/** Percent of the mutants that were killed, rounded down to a tenth: 84.99 isn't 85. */
export function scoreOf(groups: readonly Pick<GroupScore, 'mutants' | 'killed'>[]): number {
  const sum = (key: 'mutants' | 'killed') => groups.reduce((total, group) => total + group[key], 0);
  return Math.floor((1_000 * sum('killed')) / sum('mutants')) / 10;
}

/**
 * What the last `npm run mutation` found; it takes long, so this command doesn't run it. Undefined: a group has no report, and the
 * others don't stand for it.
 */
export function lastMutation(folder = mutationFolder): readonly GroupScore[] | undefined {
  const scores = Object.keys(groups).map((group) => scoreIn(group, reportOf(group, folder)));
  return scores.every((score) => score !== undefined) ? scores : undefined;
}

function scoreIn(group: string, file: string): GroupScore | undefined {
  if (!existsSync(file)) return undefined;
  const { files } = schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const mutants = Object.values(files).flatMap((one) => one.mutants);
  const count = (...statuses: string[]) => mutants.filter(({ status }) => statuses.includes(status)).length;
  const killed = count('Killed', 'Timeout');
  // One that doesn't compile, or is left out, is no mutant.
  const total = killed + count('Survived', 'NoCoverage');
  if (total === 0) return undefined;
  const changedSince = Object.entries(files)
    .filter(([path, { source }]) => textOf(path) !== source)
    .map(([path]) => path);
  return { group, mutants: total, killed, at: statSync(file).mtime, changedSince };
}

function textOf(path: string): string | undefined {
  const file = join(root, path);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}
