import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parsed, UnexpectedShapeError } from '../../../events/contract.ts';
import { contracts } from '../../../events/contracts.ts';
import { jsonSchemaOf } from '../../../events/json-schema.ts';
import { rotationFailed } from '../../../events/rotation-failed/event.ts';
import { secretChanged } from '../../../events/secret-changed/event.ts';

const events = new URL('../../../events/', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, events), 'utf8');
const ofSecret = {
  schemaVersion: 1 as const,
  secret: 'agents/a/credentials',
  secretArn: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/a/credentials-a1B2c3',
  agentId: 'a',
};
const versionId = '6f1b8a52-3c7e-4d0a-9a51-2f0c5c1e7b11';

test('each folder of events/ has a contract, and each contract a folder', () => {
  const folders = readdirSync(events, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).sort()).toEqual(Object.keys(contracts).sort());
});

describe.each(Object.entries(contracts))('%s', (name, schema) => {
  test('has a schema.json that `npm run schemas` would leave as it is', () => {
    expect(read(`${name}/schema.json`)).toBe(jsonSchemaOf(schema));
  });

  test('has a sample that its contract takes whole', () => {
    const sample: unknown = JSON.parse(read(`${name}/sample.json`));
    expect(schema.parse(sample)).toEqual(sample);
  });
});

test('an event of ours with a field too many is refused, and the error names neither the field nor what it holds', () => {
  const fields = {
    ...ofSecret,
    currentVersionId: versionId,
    changedAt: '2026-11-24T09:00:00Z',
    hunter2: 'hunter3',
  };
  expect(() => secretChanged.of(fields)).toThrow(UnexpectedShapeError);
  expect(() => secretChanged.of(fields)).not.toThrow(/hunter/);
});

test('a failed rotation says the class of its error, and no message fits into it', () => {
  const fields = {
    ...ofSecret,
    rotationId: versionId,
    step: 'setSecret' as const,
    failedAt: '2026-11-24T09:00:00Z',
  };
  expect(rotationFailed.of({ ...fields, errorClass: 'TargetRefusedError' }).detailType).toBe(
    'Rotation Failed',
  );
  expect(() => rotationFailed.of({ ...fields, errorClass: 'refused hunter2' })).toThrow(
    'errorClass: expected the class of an error',
  );
  expect(() => rotationFailed.of({ ...fields, errorClass: 'refused hunter2' })).not.toThrow(/hunter2/);
});

test('an input of another shape is told field by field', () => {
  const input = { ...ofSecret, agentId: 7, currentVersionId: 'short', changedAt: 'hunter2' };
  expect(() => parsed('Secret Changed', secretChanged.detail, input)).toThrow(
    'Secret Changed is not what its contract says: agentId: expected string; currentVersionId: expected at least 32; changedAt: wrong format (datetime)',
  );
});
