import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { root } from '../../../local/root.ts';

const textOf = (file: string) => readFileSync(join(root, file), 'utf8');
const workflow = z.object({
  jobs: z.object({
    run: z.object({ strategy: z.object({ matrix: z.object({ parts: z.array(z.string()) }) }) }),
  }),
});

it('machines side by side run every part of the check, each once: the tests, the templates, the tour, and each part of the proof but the mutants', () => {
  const [, list = ''] = /^const parts = \[(.*)\];$/m.exec(textOf('test/faults/prove.ts')) ?? [];
  const proofs = list.split(', ').map((name) => name.replaceAll("'", ''));
  const { parts } = workflow.parse(parse(textOf('.github/workflows/ci.yml'))).jobs.run.strategy.matrix;
  expect(parts.flatMap((some) => some.split(' ')).sort()).toEqual(
    ['tests', 'templates', 'tour', ...proofs.filter((part) => part !== 'mutation')].sort(),
  );
});

it('a part that there is not is refused before anything runs', () => {
  const { status, stderr } = spawnSync(join(root, '.ci/run'), ['soak', 'everything'], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([2, expect.stringContaining('knows no part everything')]);
});
