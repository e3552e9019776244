import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { root } from '../../local/root.ts';
import { type GroupName, groups } from './groups.ts';

/** What is asked of every group. */
export const leastPercent = 85;

const names = Object.keys(groups) as GroupName[];

const scoreSchema = z.object({
  mutants: z.int().positive(),
  /** Those that a test failed for, or never ended. */
  killed: z.int().nonnegative(),
  at: z.iso.date(),
  /** The SHA-256 of each file of the group, by its path. */
  files: z.record(z.string(), z.string()),
});
const recordSchema = z.partialRecord(z.enum(names), scoreSchema);

/** What the mutants of a group came to. */
export type GroupScore = z.output<typeof scoreSchema>;
/** The last run of each group. */
export type Scores = z.output<typeof recordSchema>;

/** Kept beside the tests that it judges, so that a fresh checkout has it. */
const scoresFile = join(import.meta.dirname, 'scores.json');

export function readScores(file = scoresFile): Scores {
  return existsSync(file) ? recordSchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : {};
}

export function keepScore(group: GroupName, score: GroupScore, file = scoresFile): void {
  const scores = { ...readScores(file), [group]: score };
  const sorted = Object.fromEntries(names.flatMap((name) => (scores[name] ? [[name, scores[name]]] : [])));
  writeFileSync(file, `${JSON.stringify(sorted, undefined, 2)}\n`);
}

const strykerSchema = z.object({
  files: z.record(z.string(), z.object({ mutants: z.array(z.object({ status: z.string() })) })),
});

/** The score in a report of Stryker's on the group as it is. A mutant that doesn't compile, or is left out, is none. */
export function scoreIn(group: GroupName, report: string, at: Date): GroupScore {
  const { files } = strykerSchema.parse(JSON.parse(report));
  const mutants = Object.values(files).flatMap((one) => one.mutants);
  const count = (...statuses: string[]) => mutants.filter(({ status }) => statuses.includes(status)).length;
  const killed = count('Killed', 'Timeout');
  return {
    mutants: killed + count('Survived', 'NoCoverage'),
    killed,
    at: at.toISOString().slice(0, 10),
    files: digestsOf(group),
  };
}

/** Percent of the mutants that were killed, rounded down to a tenth: 84.99 isn't 85. */
export function percentOf(scores: readonly Pick<GroupScore, 'mutants' | 'killed'>[]): number {
  const sum = (key: 'mutants' | 'killed') => scores.reduce((total, score) => total + score[key], 0);
  return Math.floor((1_000 * sum('killed')) / sum('mutants')) / 10;
}

/** The group's files that read otherwise by now, have come or are gone. */
export function changedSince(group: GroupName, { files }: GroupScore): readonly string[] {
  const now = digestsOf(group);
  return Object.keys({ ...now, ...files })
    .filter((path) => now[path] !== files[path])
    .toSorted();
}

function digestsOf(group: GroupName): Record<string, string> {
  const paths = globSync([...groups[group].mutate], { cwd: root }).toSorted();
  return Object.fromEntries(paths.map((path) => [path, digestOf(readFileSync(join(root, path)))]));
}

function digestOf(source: Buffer): string {
  return createHash('sha256').update(source).digest('hex');
}
