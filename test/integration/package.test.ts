import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { root } from '../../local/root.ts';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'keyturn-package-'));
/** What `npm pack` made, unpacked; its dependencies are those that are installed here. */
const unpacked = join(folder, 'package');
const bin = join(unpacked, 'cli/keyturn.mjs');

const manifest = z.looseObject({
  version: z.string(),
  exports: z.record(z.string(), z.object({ types: z.string(), default: z.string() })),
  bin: z.record(z.string(), z.string()),
  dependencies: z.record(z.string(), z.string()),
});
const manifestOf = () => manifest.parse(JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8')));

beforeAll(async () => {
  await run('npm', ['pack', '--pack-destination', folder], { cwd: root });
  const tarballs = readdirSync(folder);
  expect(tarballs).toEqual([`keyturn-${z.object({ version: z.string() }).parse(ownManifest()).version}.tgz`]);
  await run('tar', ['-xzf', join(folder, tarballs[0] ?? ''), '-C', folder]);
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ownManifest = (): unknown => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** How a command ended, and what it said. */
const ended = (command: string, args: readonly string[]) =>
  run(command, args, { cwd: unpacked }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      stdout,
      stderr,
    }),
  );

describe('the package', () => {
  it('holds each file that its exports and its command name, the schema and the licence', () => {
    const { exports, bin: commands } = manifestOf();
    const named = [
      ...Object.values(exports).flatMap(({ types, default: code }) => [types, code]),
      ...Object.values(commands),
      'shared/provisioning/declaration.schema.json',
      'LICENSE',
      'README.md',
    ];
    expect(named.filter((file) => !existsSync(join(unpacked, file)))).toEqual([]);
  });

  it('holds no source, no test and nothing of the local stack', () => {
    const all = readdirSync(unpacked, { recursive: true }).map(String);
    expect(all.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).toEqual([]);
    expect(all.filter((file) => /^(dist\/)?(local|test|bench)\b/.test(file))).toEqual([]);
  });

  it('holds what its pages link to', () => {
    const pages = ['README.md', ...readdirSync(join(unpacked, 'docs')).map((name) => `docs/${name}`)];
    const links = pages
      .filter((page) => page.endsWith('.md'))
      .flatMap((page) =>
        [...readFileSync(join(unpacked, page), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(
          ([, to = '']) => join(page, '..', to),
        ),
      );
    expect(links.length).toBeGreaterThan(20);
    expect(links.filter((file) => !existsSync(join(unpacked, file)))).toEqual([]);
  });

  it('depends on each package that it imports, and on the types of those that bring none', () => {
    const { dependencies } = manifestOf();
    const missing = new Set<string>();
    for (const file of readdirSync(join(unpacked, 'dist'), { recursive: true }).map(String)) {
      if (!/\.(js|d\.ts)$/.test(file)) continue;
      for (const name of importedBy(readFileSync(join(unpacked, 'dist', file), 'utf8'))) {
        const types = `@types/${name}`;
        if (!(name in dependencies)) missing.add(name);
        if (file.endsWith('.d.ts') && !hasTypes(name) && !(types in dependencies)) missing.add(types);
      }
    }
    expect([...missing]).toEqual([]);
  });

  it('brings no binary along: a Node among them would become the one of its user’s scripts', () => {
    expect(manifestOf()).not.toHaveProperty('optionalDependencies');
    expect(
      Object.keys(manifestOf().dependencies).filter((name) => /^node-(bin|linux|darwin)|postgres/.test(name)),
    ).toEqual([]);
  });
});

describe('who has installed it', () => {
  it('runs keyturn', async () => {
    const { version } = manifestOf();
    expect(await ended(process.execPath, [bin, '--version'])).toEqual({
      code: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
    const { code, stdout } = await ended(process.execPath, [bin, 'rotate', '--help']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('--wait') });
  });

  it('imports what the exports name, with types', async () => {
    const program = `
      import { createAgentSecrets, reveal, type ConnectionDriver } from 'keyturn/agent';
      import { iamPlanners, readDeclaration, vaultPlanners } from 'keyturn/provisioning';

      await using agent = createAgentSecrets({ agentId: 'billing-7', aws: { region: 'eu-central-1' } });
      const held: string | undefined = agent.held('agents/billing-7/credentials')?.versionId;
      const days: number = readDeclaration({ agentId: 'billing-7' }).rotationDays;
      export const driver: ConnectionDriver<{ login: string }> = {
        open: async ({ fields }) => ({ login: reveal(fields.username) }),
        close: async () => undefined,
        isAuthFailure: () => false,
      };
      export const ages = async () =>
        (await agent.postgres('agents/billing-7/credentials').query<{ age: number }>('select 1')).rows.map(({ age }) => age);
      // @ts-expect-error: an agent's id is a text.
      export const wrong: number = readDeclaration({ agentId: 'billing-7' }).agentId;
      console.log(held, days, typeof iamPlanners, typeof vaultPlanners);
    `;
    writeFileSync(join(unpacked, 'program.mts'), program);
    const options = [
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--lib',
      'es2024,esnext.disposable',
    ];
    const checked = await ended(join(root, 'node_modules/.bin/tsc'), [
      ...options,
      ...['--types', 'node', '--ignoreConfig', 'program.mts'],
    ]);
    expect(checked).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await ended(process.execPath, ['program.mjs'])).toEqual({
      code: 0,
      stdout: 'undefined 30 function function\n',
      stderr: '',
    });
  }, 120_000);

  it('is told in one sentence that their Node is too old', async () => {
    const older = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.12.0' } })`;
    expect(
      await ended(process.execPath, ['--import', `data:text/javascript,${older}`, bin, 'status']),
    ).toEqual({
      code: 1,
      stdout: '',
      stderr: 'keyturn: needs Node 24 or later; this is 22.12.0.\n',
    });
  });

  it('is told in one sentence that it was not built', async () => {
    const unbuilt = join(folder, 'unbuilt/cli/keyturn.mjs');
    cpSync(bin, unbuilt, { recursive: true });
    expect(await ended(process.execPath, [unbuilt, 'status'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'keyturn: is not built: "npm run build" in its folder does that.\n',
    });
  });
});

/** The packages that a file imports. */
function importedBy(text: string): readonly string[] {
  return [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'".][^'"]*)['"]/g)]
    .map(([, name = '']) => name)
    .filter((name) => !name.startsWith('node:'))
    .map((name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/'));
}

function hasTypes(name: string): boolean {
  const home = join(root, 'node_modules', name);
  const text = readFileSync(join(home, 'package.json'), 'utf8');
  return /"(types|typings)":/.test(text) || existsSync(join(home, 'index.d.ts'));
}
