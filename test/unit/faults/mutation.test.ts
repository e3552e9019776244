import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../../local/root.ts';
import { lastMutation, reportOf, scoreOf } from '../../faults/parts/mutation.ts';
import { groups } from '../../mutation/groups.ts';

/** A folder with reports of some groups, each of mutants that ended so. */
function reported(
  names: readonly string[],
  statuses: readonly string[],
  { path = 'gone.ts', source = '' } = {},
): string {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
  for (const name of names) {
    const file = reportOf(name, folder);
    mkdirSync(dirname(file), { recursive: true });
    const mutants = statuses.map((status) => ({ status }));
    const files = { [path]: { source, mutants } };
    writeFileSync(file, JSON.stringify({ files }));
  }
  return folder;
}
const names = Object.keys(groups);

test('a mutant that a test fails for or never ends with is killed; one that is left out is none', () => {
  const statuses = ['Killed', 'Killed', 'Timeout', 'Survived', 'NoCoverage', 'Ignored', 'CompileError'];
  const scores = lastMutation(reported(names, statuses)) ?? [];
  expect(scores.map(({ group, mutants, killed }) => [group, mutants, killed])).toEqual(
    names.map((name) => [name, 5, 3]),
  );
  expect(scoreOf(scores)).toBe(60);
});

test('a run of some groups is not the score of all', () => {
  expect(lastMutation(reported(names.slice(1), ['Killed']))).toBeUndefined();
  expect(lastMutation(reported([], []))).toBeUndefined();
});

test('a score below 85 is not rounded up to it', () => {
  expect(scoreOf([{ mutants: 10_000, killed: 8_499 }])).toBe(84.9);
});

test('a score is of the code that it was measured on, and says which files have changed since', () => {
  const path = 'agent/clock.ts';
  const source = readFileSync(join(root, path), 'utf8');
  const changed = (text: string) =>
    lastMutation(reported(names, ['Killed'], { path, source: text }))?.map(
      ({ changedSince }) => changedSince,
    );
  expect(changed(source)).toEqual(names.map(() => []));
  expect(changed(`${source} `)).toEqual(names.map(() => [path]));
});
