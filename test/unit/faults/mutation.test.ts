import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lastMutation } from '../../faults/parts/mutation.ts';
import { type GroupName, groups } from '../../mutation/groups.ts';
import {
  changedSince,
  type GroupScore,
  keepScore,
  percentOf,
  readScores,
  scoreIn,
} from '../../mutation/scores.ts';

const names = Object.keys(groups) as GroupName[];
const noon = new Date('2026-11-27T12:00:00Z');

/** The score of a group whose mutants ended so. */
function scoreOf(group: GroupName, ...statuses: string[]): GroupScore {
  const files = { 'some.ts': { source: '', mutants: statuses.map((status) => ({ status })) } };
  return scoreIn(group, JSON.stringify({ files }), noon);
}

describe('a mutant', () => {
  test('is killed where a test fails for it or never ends; one that is left out is none', () => {
    const statuses = ['Killed', 'Killed', 'Timeout', 'Survived', 'NoCoverage', 'Ignored', 'CompileError'];
    expect(scoreOf('rotators', ...statuses)).toMatchObject({ mutants: 5, killed: 3, at: '2026-11-27' });
  });
});

describe('a score', () => {
  test('of 84.99 is not rounded up to the 85 that are asked for', () => {
    expect(percentOf([{ mutants: 10_000, killed: 8_499 }])).toBe(84.9);
  });

  test('is of the code that it was measured on, and tells what has changed since, has come or is gone', () => {
    const score = scoreOf('agent-cache', 'Killed');
    expect(changedSince('agent-cache', score)).toEqual([]);
    const { 'agent/clock.ts': clock = '', ...others } = score.files;
    const since = (files: Record<string, string>) => changedSince('agent-cache', { ...score, files });
    expect(since({ ...others, 'agent/clock.ts': `${clock}0` })).toEqual(['agent/clock.ts']);
    expect(since(others)).toEqual(['agent/clock.ts']);
    expect(since({ ...score.files, 'agent/gone.ts': clock })).toEqual(['agent/gone.ts']);
  });

  test('of a group takes the place of its last one, and leaves those of the others', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'scores.json');
    expect(readScores(file)).toEqual({});
    const rotation = scoreOf('rotation', 'Killed');
    const rotators = scoreOf('rotators', 'Killed', 'Survived');
    keepScore('rotators', scoreOf('rotators', 'Killed'), file);
    keepScore('rotation', rotation, file);
    keepScore('rotators', rotators, file);
    expect(readScores(file)).toEqual({ rotation, rotators });
  });
});

describe('the proof', () => {
  const all = (...statuses: string[]) =>
    Object.fromEntries(names.map((name) => [name, scoreOf(name, ...statuses)]));

  test('takes the scores of some groups not for that of all', () => {
    expect(lastMutation({})).toBeUndefined();
    expect(lastMutation({ rotation: scoreOf('rotation', 'Killed') })).toBeUndefined();
    expect(lastMutation(all('Killed'))?.percent).toBe(100);
  });

  test('asks 85 percent of each group', () => {
    const scores = { ...all('Killed'), rotation: scoreOf('rotation', 'Killed', 'Survived') };
    const { lines = [], percent } = lastMutation(scores) ?? {};
    expect(lines.map(({ part, held }) => [part, held])).toEqual(
      names.map((name) => [name, name === 'rotation' ? 0 : 1]),
    );
    expect(percent).toBe(75);
  });

  test('has scores on a fresh checkout', () => {
    expect(lastMutation()?.lines.map(({ part }) => part)).toEqual(names);
  });

  test('names the files that have changed since', () => {
    const scores = { ...all('Killed'), rotation: { ...scoreOf('rotation', 'Killed'), files: {} } };
    const said = lastMutation(scores)?.lines.map(({ what }) => what) ?? [];
    expect(
      said.filter((what) => what.includes('shared/rotation/rotation.ts has changed since')),
    ).toHaveLength(1);
  });
});
