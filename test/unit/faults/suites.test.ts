import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../../../local/root.ts';
import { casesOf } from '../../faults/parts/matrix.ts';
import { linesOf, partsOf, type Suite, sumOf } from '../../faults/parts/suites.ts';

const file = (status: string, ...tests: string[]) => ({
  name: join(root, 'test/a.test.ts'),
  status,
  assertionResults: tests.map((one) => ({ status: one })),
});

describe('what the proof counts of a test run', () => {
  test.each([
    ['passed tests held', file('passed', 'passed', 'passed'), 2, 2],
    ['a failed test was run, and did not hold', file('failed', 'passed', 'failed'), 2, 1],
    ['a skipped test was not run', file('passed', 'passed', 'skipped', 'todo'), 1, 1],
    ['a file that failed before its tests counts as one failure', file('failed'), 1, 0],
  ])('%s', (_, one, run, held) => {
    const lines = linesOf({ testResults: [one] });
    expect(lines).toEqual([{ part: 'test/a.test.ts', what: 'tests', run, held }]);
    expect(sumOf(lines)).toEqual({ run, held });
  });

  test('of the crash matrix each case counts, and a test that failed beside them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'keyturn-matrix-'));
    const cases = [{ part: 'a', what: 'ended by the reconciler', run: 60, held: 59 }];
    writeFileSync(join(folder, 'a.json'), JSON.stringify(cases));
    const tests = linesOf({ testResults: [file('failed', 'passed', 'failed'), file('passed', 'passed')] });
    expect(sumOf(casesOf(tests, folder))).toEqual({ run: 61, held: 59 });
    expect(sumOf(casesOf(tests, join(folder, 'none')))).toEqual({ run: 1, held: 0 });
  });

  describe('each part of the proof counts its own files of one run', () => {
    const suites: Suite[] = [
      { part: 'matrix', project: 'faults', within: ['test/faults/matrix/'] },
      { part: 'attacks', project: 'attacks', within: ['test/attacks/'] },
      { part: 'attacks', project: 'unit', within: ['test/unit/deployment/'] },
    ];
    const line = (part: string) => ({ part, what: 'tests', run: 2, held: 2 });
    const lines = [
      'test/attacks/flood.test.ts',
      'test/faults/matrix/mirror.test.ts',
      'test/unit/deployment/a.test.ts',
    ].map(line);

    test('by its folders', () => {
      const { matrix, attacks } = partsOf(lines, suites);
      expect(matrix).toEqual([line('test/faults/matrix/mirror.test.ts')]);
      expect(sumOf(attacks)).toEqual({ run: 4, held: 4 });
    });

    test('a part without a test did not hold', () => {
      const { matrix, attacks } = partsOf(lines.slice(0, 1), suites);
      expect(sumOf(matrix)).toEqual({ run: 1, held: 0 });
      expect(sumOf(attacks)).toEqual({ run: 2, held: 2 });
    });

    test('what failed outside every test may have failed any part', () => {
      const { matrix, attacks } = partsOf(lines, suites, 'vitest ends well');
      expect([sumOf(matrix), sumOf(attacks)]).toEqual([
        { run: 3, held: 2 },
        { run: 5, held: 4 },
      ]);
      expect(sumOf(partsOf([], suites, 'vitest did not end').matrix)).toEqual({ run: 1, held: 0 });
    });
  });
});
