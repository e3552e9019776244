import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../../../local/root.ts';
import { casesOf } from '../../faults/parts/matrix.ts';
import { linesOf, sumOf } from '../../faults/parts/suites.ts';

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

  test('a run that found no test did not hold', () => {
    expect(sumOf(linesOf({ testResults: [] }))).toEqual({ run: 1, held: 0 });
  });
});
