// The first thing every npm script runs, on whatever Node the machine has: installs what is missing,
// then hands over to the pinned Node 24 from node_modules.   node local/bootstrap.mjs [SCRIPT ARGS...]
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const inRoot = (...parts) => join(root, ...parts);
const fail = (sentence) => {
  console.error(`keyturn: ${sentence}`);
  process.exit(1);
};
const run = (command, args) => {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) fail(`"${command} ${args.join(' ')}" failed; its output is above.`);
};

/** Does `work` once per content of `file`; a stamp that is written last says that it was finished. */
function onceFor(file, stamp, why, work) {
  const digest = createHash('sha256')
    .update(readFileSync(inRoot(file)))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  console.error(`keyturn: ${why}`);
  work();
  writeFileSync(stamp, digest);
}

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19))
  fail(`needs Node 20.19 or later; this is ${process.versions.node}.`);

onceFor('package-lock.json', inRoot('node_modules', '.keyturn-lock'), 'installing npm packages (once)', () =>
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']),
);

const python = ['python3', 'python'].find(
  (name) =>
    spawnSync(name, ['-c', 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))']).status === 0,
);
for (const part of ['local', 'test']) {
  const venv = inRoot('.keyturn', 'venv', part);
  mkdirSync(venv, { recursive: true });
  onceFor(
    `${part}/requirements.txt`,
    join(venv, '.keyturn-requirements'),
    `installing Python parts of ${part}/ (once)`,
    () => {
      if (!python)
        fail('needs Python 3.10 or later with the venv module (Debian: apt install python3-venv).');
      rmSync(venv, { recursive: true, force: true });
      run(python, ['-m', 'venv', venv]);
      run(join(venv, 'bin', 'pip'), [
        'install',
        '--quiet',
        '--disable-pip-version-check',
        '-r',
        inRoot(part, 'requirements.txt'),
      ]);
    },
  );
}

const [script, ...args] = process.argv.slice(2);
if (script) {
  const node = inRoot('node_modules', '.bin', 'node');
  if (!existsSync(node)) fail(`has no Node 24 package for ${process.platform}-${process.arch}.`);
  const child = spawn(node, [inRoot(script), ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, PATH: `${inRoot('node_modules', '.bin')}:${process.env.PATH}` },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
}
