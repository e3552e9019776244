import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../../cli/commands.ts';
import { freePort } from '../../../local/ports.ts';
import { until } from '../../../local/until.ts';
import { deployFunction, rotatorSource } from '../secrets-manager-function.ts';
import { type Aws, startAws } from './aws.ts';
import { canary, keyturn } from './command.ts';
import { reconcilerSource } from './reconciler.ts';
import { ctrlC, onTerminal } from './terminal.ts';

let aws: Aws;
const agents = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'agents');

beforeAll(async () => {
  aws = await startAws();
  const rotator = await deployFunction(
    aws.sdk,
    'keyturn-dev-rotate-secret',
    rotatorSource.replace(
      'JSON.stringify({ generation })',
      `JSON.stringify({ generation, password: '${canary}' })`,
    ),
  );
  await deployFunction(aws.sdk, 'keyturn-dev-reconcile-fleet', reconcilerSource);
  await deployFunction(aws.sdk, 'keyturn-dev-reconcile-mirrors', reconcilerSource);
  const { engine } = aws.secretsManager;
  await engine.CreateSecret({ Name: 'asked', SecretString: '{}' });
  const { ARN } = await engine.CreateSecret({
    Name: 'agents/billing-7/credentials',
    SecretString: JSON.stringify({ generation: 0, password: canary }),
    Tags: [
      { Key: 'agent_id', Value: 'billing-7' },
      { Key: 'managed_by', Value: 'agent-platform' },
    ],
  });
  const RotationRules = { AutomaticallyAfterDays: 30 };
  await engine.RotateSecret({ SecretId: ARN, RotationLambdaARN: rotator, RotationRules });
  await engine.idle();
  mkdirSync(agents);
  writeFileSync(join(agents, 'quiet.yml'), 'agentId: quiet\nstaticFields: [api_key]\nmirror: false\n');
});
afterAll(() => aws[Symbol.asyncDispose]());

/** All that a command could change. */
async function state(): Promise<string> {
  const { SecretList } = await aws.secretsManager.engine.ListSecrets({ IncludePlannedDeletion: true });
  return JSON.stringify(SecretList);
}

/** In an order in which each one's `yes` makes what the next one's needs. */
const dangerous: readonly { readonly line: string; readonly words: string }[] = [
  { line: 'rotate agents/billing-7/credentials', words: 'Rotate agents/billing-7/credentials now?' },
  { line: `apply ${agents}`, words: 'changes to 1 agent?' },
  { line: 'provision agent search --static api_key --no-mirror', words: 'changes to 1 agent?' },
  { line: 'deprovision agent search --without-vault', words: 'End search?' },
  { line: 'unstick agents/a/credentials', words: 'abandon the rotation of agents/a/credentials?' },
  { line: 'drift --release agents/a/credentials', words: 'overwrite what was written by hand' },
];

it('is asked by every command that takes --yes: none is missing here', async () => {
  const all = await Promise.all(commands.map(({ load }) => load()));
  const asking = all.filter(({ options }) => options.some(({ long }) => long === '--yes'));
  const listed = dangerous.map(({ line }) => line.split(' ')[0]);
  expect(listed.toSorted()).toEqual(asking.map((command) => command.name()).toSorted());
});

describe.each(dangerous)('keyturn $line', ({ line, words }) => {
  const args = line.split(' ');

  it('asks, and at no changes nothing and ends with 2', async () => {
    const before = await state();
    const terminal = onTerminal(aws, args);
    await terminal.answer(words, 'n');
    const { code, shown, isSane } = await terminal.ended;
    expect(shown).toContain('not confirmed: nothing was changed');
    expect({ code, isSane }).toEqual({ code: 2, isSane: true });
    expect(await state()).toBe(before);
  });

  it('refuses with 2 where there is no terminal to ask at, and changes nothing', async () => {
    const before = await state();
    const { code, stderr } = await keyturn(aws, args);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('say --yes') });
    expect(await state()).toBe(before);
  });

  it('goes on at yes', async () => {
    const before = await state();
    const terminal = onTerminal(aws, args);
    await terminal.answer(words, 'y');
    expect(await terminal.ended).toMatchObject({ code: 0, isSane: true });
    await aws.secretsManager.engine.idle();
    expect(await state()).not.toBe(before);
  });
});

describe('a question', () => {
  const rotate = ['rotate', 'agents/billing-7/credentials'];

  it('is answered with no by Enter alone', async () => {
    const terminal = onTerminal(aws, rotate);
    await terminal.answer('credentials now?', '\r');
    expect(await terminal.ended).toMatchObject({ code: 2, isSane: true });
  });

  it('is left by Ctrl-C with 130, and nothing was changed', async () => {
    const before = await state();
    const terminal = onTerminal(aws, rotate);
    await terminal.answer('credentials now?', ctrlC);
    const { code, shown, isSane } = await terminal.ended;
    expect(shown).toContain('interrupted: nothing was changed');
    expect({ code, isSane }).toEqual({ code: 130, isSane: true });
    expect(await state()).toBe(before);
  });
});

const clear = '\u001b[2J\u001b[H';

/** Whether a text has a sequence that sets a colour. */
const hasColours = (shown: string) => new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`).test(shown);

describe('a terminal', () => {
  it.each([40, 80])('of %d columns shows the fleet in lines that fit', async (columns) => {
    const { code, shown } = await onTerminal(aws, ['status'], { columns }).ended;
    // What the spinner drew is erased before the result.
    const [result = ''] = shown.split('\u001b[J').slice(-1);
    const lines = stripVTControlCharacters(result).split(/[\r\n]+/);
    expect(code).toBe(0);
    expect(lines).toContain('agents/billing-7/credentials');
    expect(lines).toContainEqual(expect.stringMatching(/^ {2}HEALTH +well$/));
    // Sentences may wrap; they are text.
    const rows = lines.filter((line) => !line.startsWith('?'));
    expect(Math.max(...rows.map((line) => line.length))).toBeLessThanOrEqual(columns);
  });

  it('shows colours, and none with NO_COLOR', async () => {
    expect(hasColours((await onTerminal(aws, ['status']).ended).shown)).toBe(true);
    const plain = onTerminal(aws, ['rotate', 'agents/billing-7/credentials'], { env: { NO_COLOR: '1' } });
    await plain.answer('Rotate agents/billing-7/credentials now?', 'n');
    expect(hasColours((await plain.ended).shown)).toBe(false);
    const status = onTerminal(aws, ['status'], { env: { NO_COLOR: '1' } });
    expect(hasColours((await status.ended).shown)).toBe(false);
  });

  it('is redrawn by status --watch, which shows what is new, and is left as it was at Ctrl-C', async () => {
    const watching = onTerminal(aws, ['status', '--watch', '--interval', '1']);
    await watching.answer('agents/billing-7/credentials', '');
    await aws.secretsManager.engine.CreateSecret({
      Name: 'agents/new/credentials',
      SecretString: JSON.stringify({ token: canary }),
      Tags: [
        { Key: 'agent_id', Value: 'new' },
        { Key: 'managed_by', Value: 'agent-platform' },
      ],
    });
    await watching.answer('agents/new/credentials', ctrlC);
    const { code, shown, isSane } = await watching.ended;
    expect({ code, isSane }).toEqual({ code: 0, isSane: true });
    const screens = shown.split(clear).slice(1);
    expect(screens.length).toBeGreaterThan(1);
    for (const screen of screens.slice(0, -1)) expect(screen.match(/SECRET +AGENT/g)).toHaveLength(1);
  });

  it('goes on being redrawn by status --watch after AWS could not be reached for a while', async () => {
    await using way = await wayTo(aws.sdk.endpoint);
    const watching = onTerminal(aws, ['status', '--watch', '--interval', '1'], {
      env: { AWS_ENDPOINT_URL: way.url },
    });
    await watching.answer('agents/billing-7/credentials', '');
    way.isClosed = true;
    await watching.answer('the network failed', '');
    way.isClosed = false;
    const screens = () => watching.shown().split(clear);
    const before = screens().length;
    await until('the fleet is shown again', async () =>
      screens().slice(before).join('').includes('agents/billing-7/credentials'),
    );
    await watching.answer('', ctrlC);
    expect(await watching.ended).toMatchObject({ code: 0, isSane: true });
  });
});

/** An address that passes everything on, until it is closed. */
async function wayTo(
  endpoint: string,
): Promise<AsyncDisposable & { readonly url: string; isClosed: boolean }> {
  const port = await freePort();
  const way = {
    url: `http://127.0.0.1:${port}`,
    isClosed: false,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
  const server = createServer((asked, answer) => {
    if (way.isClosed) return void asked.socket.destroy();
    const { method, headers } = asked;
    const passed = request(new URL(asked.url ?? '/', endpoint), { method, headers }, (got) => {
      answer.writeHead(got.statusCode ?? 500, got.headers);
      got.pipe(answer);
    });
    asked.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return way;
}
