import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { commands } from '../../../cli/commands.ts';
import { awsRotationFailed } from '../../../events/aws-rotation-failed/event.ts';
import { kinds } from '../../../functions/reconcile-fleet/reconcile-fleet.ts';
import { root } from '../../../local/root.ts';
import { effectOf } from '../../../shared/reconciliation/effects.ts';
import { mirrorKinds } from '../../../shared/reconciliation/mirrors/mirror-finding.ts';
import { followedBy } from '../../runbook/followed-by.ts';
import { commandsOf, pages } from '../../runbook/page.ts';
import { errorClassesOf } from './calls.ts';
import { ofType } from './template.ts';

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

it.each([...kinds.map(({ kind }) => kind), ...mirrorKinds])(
  'an alert of %s says what it does to agents',
  (kind) => {
    expect(effectOf(kind)).not.toBe(effectOf('nothing that there is'));
  },
);

/** Errors in rotate-secret's code that no step of a rotation ends with, and why. */
const neverPublished: Readonly<Record<string, string>> = {
  AwsCallError: 'of the bus: a rotation goes on without its events',
  EventsRefusedError: 'of the bus',
  PasswordDemandedError: 'becomes a ConfusedDeputyError',
  SecretDisposedError: 'a rotation disposes of no value before its end',
  UnexpectedShapeError: 'comes before the step',
};

it('rotation-failed has a heading for each error that a rotation can fail with, to which its alert links', async () => {
  const ofAws = awsRotationFailed.shape.detail.shape.eventName.options;
  const text = readFileSync(join(root, 'docs/runbook/rotation-failed.md'), 'utf8');
  const headings = [...text.matchAll(/^### `(\w+)`$/gm)].map(([, name = '']) => name);
  expect([...headings, ...Object.keys(neverPublished)].sort()).toEqual(
    [...(await errorClassesOf('rotate-secret')), ...ofAws].sort(),
  );
});

/** Nobody who was woken up runs a command on another deployment than the one that woke them. */
const stageOf = (source: string) =>
  `First \`export KEYTURN_STAGE=... AWS_REGION=...\` with ${source}: without it, \`keyturn\` works on \`dev\`.`;

describe.each(pages)('the page %s', (page) => {
  it('begins with how its commands are pointed at the deployment that speaks', () => {
    const isOfAlarm = alarmPages.some((alarm) => alarm.page === page);
    const [, said] = readFileSync(join(root, `docs/runbook/${page}.md`), 'utf8').split('\n\n');
    expect(said).toBe(
      stageOf(
        isOfAlarm
          ? "the stage in the alarm's name, `keyturn-STAGE-...`, and its region"
          : 'the `stage` and `region` that the alert says',
      ),
    );
  });

  it('says a command, and only ones that there are', () => {
    const names = commands.map(({ name }) => name);
    for (const line of commandsOf(page)) {
      const [program, word] = line.split(' ');
      expect(['keyturn', 'vault', 'aws']).toContain(program);
      if (program === 'keyturn') expect(names).toContain(word);
    }
  });

  it('is followed by a test, line by line', () => {
    const test = readFileSync(join(root, followedBy[page] ?? 'no such test'), 'utf8');
    expect(test).toContain(`'${page}'`);
    expect(test).toMatch(/\.follow\(/);
  });
});
