import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../../../local/root.ts';

const linesOf = (file: string) => readFileSync(join(root, file), 'utf8').trim().split('\n');

it('each check of checkov that is left out is explained above it', () => {
  const lines = linesOf('.checkov.yaml');
  const skipped = lines.flatMap((line, at) => (/^\s*- CKV/.test(line) ? at : []));
  expect(skipped.length).toBeGreaterThan(0);
  for (const at of skipped)
    expect([lines[at], lines[at - 1]?.trim()]).toEqual([lines[at], expect.stringMatching(/^# .{20}/)]);
  // Nothing else narrows what it looks at.
  const keys = lines.flatMap((line) => /^([\w-]+):/.exec(line)?.[1] ?? []);
  expect(keys).toEqual(['framework', 'compact', 'quiet', 'skip-download', 'skip-check']);
});

it('so is what cfn-lint leaves out', () => {
  const [explanation, ...rest] = linesOf('.cfnlintrc.yaml');
  expect(explanation).toMatch(/^# .*W3005/);
  expect(rest).toEqual(['ignore_checks: [W3005]']);
});

it('no part of the deployment exempts itself', () => {
  for (const file of [
    'serverless.yml',
    ...globSync(['functions/*/deploy.yml', 'shared/deployment/**/*.yml'], { cwd: root }),
  ])
    expect([file, /checkov|cfn-lint|cfn_nag/i.exec(readFileSync(join(root, file), 'utf8'))]).toEqual([
      file,
      null,
    ]);
});
