import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from '../../local/root.ts';
import { until } from '../../local/until.ts';

const run = promisify(execFile);
const clone = join(mkdtempSync(join(tmpdir(), 'keyturn-clone-')), 'keyturn');

/** A second clone of this repository, with what this one has installed. */
beforeAll(() => {
  const apart = new Set(['node_modules', '.git', '.keyturn', '.serverless', '.esbuild', 'dist']);
  cpSync(root, clone, { recursive: true, filter: (path) => !apart.has(basename(path)) });
  symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'));
  mkdirSync(join(clone, '.keyturn'));
  symlinkSync(join(root, '.keyturn', 'venv'), join(clone, '.keyturn', 'venv'));
});
afterAll(async () => {
  await inClone('npm run local:stop');
  rmSync(clone, { recursive: true, force: true });
});

/** What a user types in the clone. Gives the exit code and what was printed. */
async function inClone(command: string): Promise<{ code: number; said: string }> {
  const PATH = `${join(root, '.keyturn/venv/test/bin')}:${process.env.PATH}`;
  const env = { PATH, HOME: process.env.HOME };
  return run('bash', ['-c', command], { cwd: clone, env }).then(
    ({ stdout, stderr }) => ({ code: 0, said: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      said: error.stdout + error.stderr,
    }),
  );
}

const withStack = (command: string) => inClone(`source .keyturn/env && ${command}`);

function environment(): Record<string, string> {
  const lines = readFileSync(join(clone, '.keyturn/env'), 'utf8').matchAll(/^export (\w+)='?([^'\n]*)'?$/gm);
  return Object.fromEntries([...lines].map(([, name = '', value = '']) => [name, value]));
}

const listens = (url: string) =>
  new Promise<boolean>((resolve) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

/** The addresses at which the stack's parts listen. */
function addresses(): readonly string[] {
  const { AWS_ENDPOINT_URL = '', VAULT_ADDR = '', DATABASE_URL = '' } = environment();
  return [AWS_ENDPOINT_URL, VAULT_ADDR, DATABASE_URL];
}
const nothingListens = (urls: readonly string[]) =>
  until('nothing listens any more', async () => !(await Promise.all(urls.map(listens))).includes(true));

test('npm run local -- --detach returns when the AWS CLI, Vault and PostgreSQL can be used', async () => {
  expect(await inClone('npm run local -- --detach')).toMatchObject({ code: 0 });

  const secret = `--name agents/cli/credentials --secret-string '{"a":1}' --query Name --output text`;
  expect(await withStack(`aws secretsmanager create-secret ${secret}`)).toEqual({
    code: 0,
    said: 'agents/cli/credentials\n',
  });
  const rules = await withStack('aws events list-rules --event-bus-name default --query Rules[].Name');
  expect(rules.said).toContain('AnnounceRotationRule');

  const { VAULT_ADDR = '', VAULT_TOKEN = '', DATABASE_URL } = environment();
  const token = await fetch(new URL('/v1/auth/token/lookup-self', VAULT_ADDR), {
    headers: { 'X-Vault-Token': VAULT_TOKEN },
  });
  expect(token.status).toBe(200);
  const client = new pg.Client({ connectionString: DATABASE_URL });
  await client.connect();
  const { rows } = await client.query('SELECT rolsuper FROM pg_roles WHERE rolname = current_user');
  await client.end();
  expect(rows).toHaveLength(1);
});

test('a shell that sourced .keyturn/env finds keyturn, and keyturn the stack', async () => {
  const { code, said } = await withStack('keyturn health --json');
  // Whether a backend was probed by now is not asked.
  expect([0, 3]).toContain(code);
  expect(said).toMatch(/"stage": "local"/);
  expect(await withStack('command -v keyturn')).toEqual({
    code: 0,
    said: `${join(clone, '.keyturn/bin/keyturn')}\n`,
  });
});

test('a second start in the same clone is refused, and says how to end the first', async () => {
  const { code, said } = await inClone('npm run local -- --detach');
  expect(code).toBe(1);
  expect(said).toContain('npm run local:stop');
});

test('a start that was killed leaves nothing behind, and the next one works', async () => {
  const before = addresses();
  const pid = /process (\d+)/.exec((await inClone('npm run local')).said)?.[1];
  process.kill(Number(pid), 'SIGKILL');
  await nothingListens(before);
  expect(await inClone('npm run local -- --detach')).toMatchObject({ code: 0 });
});

test('npm run local:stop ends every part', async () => {
  const running = addresses();
  expect(await Promise.all(running.map(listens))).toEqual([true, true, true]);
  expect(await inClone('npm run local:stop')).toMatchObject({ code: 0 });
  await nothingListens(running);
});
