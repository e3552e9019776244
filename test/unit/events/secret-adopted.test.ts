import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { secretAdopted } from '../../../events/secret-adopted/event.ts';

const sample = JSON.parse(
  readFileSync(new URL('../../../events/secret-adopted/sample.json', import.meta.url), 'utf8'),
);

test('an agent that speaks for another one, whose id IAM can’t see in the detail, is refused', () => {
  const forged = { ...sample, detail: { ...sample.detail, agentId: 'search' } };
  expect(secretAdopted.schema.safeParse(forged).error?.issues.map(({ path }) => path)).toContainEqual([
    'source',
  ]);
});

test('an agent that speaks under its own name of another’s secret is refused', () => {
  const secretArn = sample.detail.secretArn.replace('billing-7', 'search');
  const forged = { ...sample, detail: { ...sample.detail, secretArn } };
  expect(secretAdopted.schema.safeParse(forged).error?.issues.map(({ path }) => path)).toEqual([
    ['detail', 'secretArn'],
  ]);
});

test('the platform’s own source is no agent’s', () => {
  expect(secretAdopted.schema.safeParse({ ...sample, source: 'keyturn' }).success).toBe(false);
});
