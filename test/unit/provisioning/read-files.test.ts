import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonSchemaOf } from '../../../events/json-schema.ts';
import { root } from '../../../local/root.ts';
import { DeclarationError, declaration } from '../../../shared/provisioning/declaration.ts';
import { declaredIn, readDeclarations } from '../../../shared/provisioning/read-files.ts';

function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'agents');
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}
const refused = (files: Readonly<Record<string, string>>) =>
  readDeclarations(folderOf(files)).then(
    () => 'accepted',
    (error: Error) => `${error.name} ${error.message.replaceAll(/\S*\/agents\//g, '')}`,
  );

test('a folder is read file by file, a file by itself', async () => {
  const folder = folderOf({
    'billing.yml': 'agentId: billing',
    'search.yaml': 'agentId: search',
    notes: '?',
  });
  expect((await readDeclarations(folder)).map(({ agentId }) => agentId)).toEqual(['billing', 'search']);
  expect((await readDeclarations(join(folder, 'search.yaml'))).map(({ agentId }) => agentId)).toEqual([
    'search',
  ]);
});

test.each([
  ['a field that is unknown', 'agentId: a\nrotationDay: 3', 'rotationDay: no such field'],
  ['one inside another', 'agentId: a\nvault: { paths: [] }', 'vault.paths: no such field'],
  ['one that only looks like a known one', 'agentId: a\nmіrror: false', 'm\\u{456}rror: no such field'],
  ['a wildcard', "agentId: a\nvault: { kvPaths: ['team/*'] }", 'vault.kvPaths.0: expected names'],
  ['a + ', "agentId: a\nvault: { databaseRoles: ['+'] }", 'vault.databaseRoles.0: expected a-z'],
  ['a step up', 'agentId: a\nvault: { kvPaths: [../admin] }', 'vault.kvPaths.0: expected names'],
  [
    'a static field that is of the login',
    'agentId: a\nstaticFields: [password]',
    'staticFields.0: this field',
  ],
  ['a grace that no secret can have', 'agentId: a\ngrace: 91d', 'grace: expected at most 90d'],
  ['a field twice', 'agentId: a\nagentId: a', 'line 2: not valid YAML (duplicate_key)'],
  ['text that is no YAML', 'agentId: a\n  b: [', 'line 1: not valid YAML'],
  ['aliases', 'agentId: &a a\nsecret: *a', 'declaration: aliases are not taken'],
  ['nothing', '', 'declaration: '],
  ['a list', '- agentId: a', 'declaration: '],
  ['another name than its own', 'agentId: b', 'agentId: expected the name of the file'],
])('a file with %s is refused by file and field', async (_, text, problem) => {
  const message = await refused({ 'a.yml': text });
  expect(message).toContain(`DeclarationError a.yml: ${problem}`);
  expect(message).toMatch(/^[ -~]*$/);
});

test.each(['pg_catalog', 'pg_temp', 'information_schema', 'App', 'a b', 'a"b'])(
  'a schema can not be called %j',
  async (schema) => {
    const text = JSON.stringify({
      agentId: 'a',
      postgres: {
        adminSecretArn: 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:keyturn/admin/x-a1B2c3',
        host: 'db.example',
        database: 'app',
        schemas: { [schema]: {} },
      },
    });
    expect(await refused({ 'a.yml': text })).toMatch(/^DeclarationError a\.yml: postgres\.schemas\./);
  },
);

test('of several files that are wrong all are told of, in one line', async () => {
  const message = await refused({
    'a.yml': 'agentId: "*"',
    'b.yml': 'agentId: b',
    'c.yml': 'x: 1\nagentId: c',
  });
  expect(message.split('; ')).toEqual([
    'DeclarationError a.yml: agentId: expected a-z, 0-9 and -, beginning and ending with a letter or digit',
    'c.yml: x: no such field',
  ]);
});

test('what a file holds is never quoted: it may be a secret in the wrong place', async () => {
  for (const text of [
    'agentId: hunter2!',
    'agentId: a\ngrace: hunter2',
    'hunter2',
    'a: [hunter2',
    'a: *hunter2',
  ])
    expect(await refused({ 'a.yml': text })).not.toContain('hunter2');
});

test('a folder without declarations, and one that is not there, are told of', async () => {
  await expect(readDeclarations(folderOf({}))).rejects.toThrow('there is no *.yml in it');
  await expect(readDeclarations('/nowhere')).rejects.toThrow('there is no such file or folder');
});

test('agents that share anything are refused together', async () => {
  const agent = (id: string) => `agentId: ${id}\nvault: { databaseRoles: [orders] }`;
  expect(await refused({ 'a.yml': agent('a'), 'b.yml': agent('b') })).toBe(
    'DeclarationError a and b share Vault database role orders',
  );
});

test('whatever a file holds, it is read whole or refused with a message of ours', () => {
  const text = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.object({ maxKeys: 3 }).map((value) => JSON.stringify(value)),
    fc.string().map((value) => `agentId: a\nvault: { kvPaths: [${JSON.stringify(value)}] }`),
  );
  fc.assert(
    fc.property(text, (content) => {
      try {
        const { kvPaths } = declaredIn('a.yml', content).vault;
        if (kvPaths.some((path) => !/^[a-z0-9/-]+$/.test(path))) throw new Error('a path too wide');
      } catch (error) {
        if (!(error instanceof DeclarationError)) throw error;
      }
    }),
    { numRuns: 40 },
  );
});

test("the operator's guide shows a declaration that is one", () => {
  const guide = readFileSync(join(root, 'docs/operators.md'), 'utf8');
  const [, text = ''] = /```yaml\n(.*?)```/s.exec(guide) ?? [];
  expect(text).toMatch(/^# yaml-language-server: \$schema=/);
  expect(declaredIn('billing.yml', text)).toMatchObject({ agentId: 'billing', grace: '2h' });
});

test('has a JSON Schema that `npm run schemas` would leave as it is', () => {
  const file = join(root, 'shared/provisioning/declaration.schema.json');
  expect(readFileSync(file, 'utf8')).toBe(jsonSchemaOf(declaration));
});
