import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { commands } from '../../../cli/commands.ts';
import { kinds } from '../../../functions/reconcile-fleet/reconcile-fleet.ts';
import { root } from '../../../local/root.ts';
import { mirrorKinds } from '../../../shared/reconciliation/mirrors/mirror-finding.ts';
import { ofType } from './template.ts';

const pages = globSync(join(root, 'docs/runbook/*.md')).map((file) => basename(file, '.md'));
const textOf = (page: string) => readFileSync(join(root, `docs/runbook/${page}.md`), 'utf8');
const alarmPages = ofType('AWS::CloudWatch::Alarm').map(([id, { Properties }]) => ({
  id,
  page: /\/([\w-]+)\.md$/.exec(String(Properties.AlarmDescription))?.[1],
}));
/** What a function's own message names, besides findings. */
const pagesInMessages = globSync(join(root, 'functions/*/*.ts')).flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/\$\{runbookUrl\}\/([\w-]+)\.md/g)].map(([, page = '']) => page),
);

it.each(alarmPages)('the alarm $id says a page of the runbook, which exists', ({ page }) => {
  expect(pages).toContain(page);
});

it('each finding and each alert has its page, and each page is one that somebody is sent to', () => {
  const named = [
    ...kinds.map(({ kind }) => kind),
    ...mirrorKinds,
    ...pagesInMessages,
    ...alarmPages.map(({ page }) => page),
  ];
  expect([...new Set(named)].sort()).toEqual(pages.toSorted());
});

describe.each(pages)('the page %s', (page) => {
  it('says a command, and only ones that there are', () => {
    const lines = [...textOf(page).matchAll(/^ {4}(keyturn|vault|aws) (\S+)/gm)];
    expect(lines).not.toEqual([]);
    const names = commands.map(({ name }) => name);
    for (const [, program, word] of lines) if (program === 'keyturn') expect(names).toContain(word);
  });
});
