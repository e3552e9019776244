import { spawnSync } from 'node:child_process';
import { root } from '../../../local/root.ts';
import { type GroupName, groups } from '../../mutation/groups.ts';
import { changedSince, leastPercent, percentOf, readScores, type Scores } from '../../mutation/scores.ts';
import type { Line } from '../report/report.ts';

export interface Mutation {
  readonly lines: readonly Line[];
  /** Of all groups together. */
  readonly percent: number;
}

/** Runs the mutants of every group, which takes minutes, and keeps what came of them. */
export function runMutation(): Mutation | undefined {
  const { status } = spawnSync('npm', ['run', 'mutation'], { cwd: root, stdio: 'inherit' });
  const last = lastMutation();
  if (status === 0 || !last) return last;
  // The scores may be those of an earlier run.
  const failed = { part: 'mutation', what: '`npm run mutation` ends well', run: 1, held: 0 };
  return { ...last, lines: [...last.lines, failed] };
}

/** What the last runs of the groups came to. Undefined where a group was never run: the others don't stand for it. */
export function lastMutation(scores: Scores = readScores()): Mutation | undefined {
  const names = Object.keys(groups) as GroupName[];
  const all = names.flatMap((group) => {
    const score = scores[group];
    return score ? [{ group, score }] : [];
  });
  if (all.length < names.length) return undefined;
  const lines = all.map(({ group, score }) => ({
    part: group,
    what: [
      `at least ${leastPercent} % of ${score.mutants} mutants are killed: ${percentOf([score])} % on ${score.at}`,
      ...changedSince(group, score).map((file) => `${file} has changed since`),
    ].join('; '),
    run: 1,
    held: percentOf([score]) >= leastPercent ? 1 : 0,
  }));
  return { lines, percent: percentOf(all.map(({ score }) => score)) };
}
