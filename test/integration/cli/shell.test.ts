import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { commands } from '../../../cli/commands.ts';
import { freePort } from '../../../local/ports.ts';
import { root } from '../../../local/root.ts';
import { begun } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
const run = (line: string, env: Readonly<Record<string, string>> = {}) => begun(line.split(' '), env).ran;

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish', 'powershell'])('is printed for %s', async (shell) => {
    const { code, stdout, stderr } = await run(`completion ${shell}`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('keyturn complete');
  });

  it('completes commands and their flags in a bash that has read it', async () => {
    writeFileSync(join(folder, 'completion.bash'), (await run('completion bash')).stdout);
    const keyturn = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'cli/keyturn.mjs')}' "$@"\n`;
    writeFileSync(join(folder, 'keyturn'), keyturn);
    chmodSync(join(folder, 'keyturn'), 0o755);
    const completed = (...words: string[]) =>
      execFileSync('bash', [
        '-c',
        // What the package bash-completion gives a shell.
        `_get_comp_words_by_ref() { words=("\${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur="\${words[cword]}"; }
         compopt() { :; }
         PATH='${folder}':$PATH; source '${join(folder, 'completion.bash')}'
         COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); __keyturn_complete; printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        ...words,
      ])
        .toString()
        .split('\n')
        .map((line) => line.split(/\s/)[0]);
    expect(completed('keyturn', '')).toEqual(expect.arrayContaining(commands.map(({ name }) => name)));
    expect(completed('keyturn', 'depro')).toContain('deprovision');
    expect(completed('keyturn', 'status', '--')).toEqual(
      expect.arrayContaining(['--watch', '--stage', '--region', '--profile', '--json']),
    );
  });
});

describe('the exit code', () => {
  it.each([
    ['--help', 0],
    ['help rotate', 0],
    ['rotate --help', 0],
    ['nonsense', 2],
    ['rotate', 2],
    ['status --interval 0', 2],
    ['provision group a', 2],
    ['unstick a --complete --abandon', 2],
    ['deprovision agent a --recovery-days 3', 2],
    ['provision agent a --days 0', 2],
    ['provision agent A', 2],
    ['apply nowhere', 2],
    ['agent --agent-id a', 2],
    ['agent --agent-id a --host 0.0.0.0', 2],
    ['--version', 0],
  ])('of %s is %d', async (line, code) => {
    const { code: ended, stdout, stderr } = await run(line);
    expect(ended).toBe(code);
    // What was asked for goes to stdout, what is wrong to stderr.
    expect([stdout === '', stderr === '']).toEqual([code !== 0, code === 0]);
  });
});

it('provision --save over a file that is there changes nothing, anywhere', async () => {
  mkdirSync(join(folder, 'agents'));
  writeFileSync(join(folder, 'agents/search.yml'), 'agentId: search\n');
  const line = 'provision agent search --yes --save';
  const asked = begun(line.split(' '), { AWS_ENDPOINT_URL: 'http://127.0.0.1:1' }, folder).ran;
  expect(await asked).toMatchObject({
    code: 2,
    stderr: 'keyturn: --save: agents/search.yml exists already\n',
  });
});

it('agent --vault-address without a way to log in to it is called wrongly', async () => {
  const asked = run('agent --agent-id a --vault-address http://127.0.0.1:1', { AWS_TOKEN: 'a-token' });
  expect(await asked).toMatchObject({ code: 2, stderr: expect.stringContaining('--vault-role') });
});

describe('credentials and region', () => {
  /** Of each request: the access key, the region, the service. */
  const signed: (readonly string[])[] = [];
  let server: Server;
  let url: string;
  const config = join(folder, 'config');
  beforeAll(async () => {
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    server = createServer((asked, answer) => {
      const [, key = '', region = ''] =
        /Credential=(\w+)\/\d+\/([\w-]+)\//.exec(asked.headers.authorization ?? '') ?? [];
      signed.push([key, region]);
      asked.resume();
      answer
        .writeHead(400, { 'content-type': 'text/xml' })
        .end(
          '<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>m</Message></Error></ErrorResponse>',
        );
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    writeFileSync(
      config,
      `[profile platform]\nregion = eu-west-3\naws_access_key_id = OFPLATFORM\naws_secret_access_key = s\n`,
    );
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    signed.length = 0;
  });

  const env = () => ({ AWS_ENDPOINT_URL: url, AWS_CONFIG_FILE: config, AWS_EC2_METADATA_DISABLED: 'true' });
  it.each([
    ['--profile names both', 'status --profile platform', {}, ['OFPLATFORM', 'eu-west-3']],
    ['AWS_PROFILE does, too', 'status', { AWS_PROFILE: 'platform' }, ['OFPLATFORM', 'eu-west-3']],
    [
      '--region wins over the profile',
      'status --profile platform --region us-east-2',
      {},
      ['OFPLATFORM', 'us-east-2'],
    ],
    [
      'flags may stand before the command',
      '--profile platform --region us-east-2 status',
      {},
      ['OFPLATFORM', 'us-east-2'],
    ],
    [
      'AWS_DEFAULT_REGION is known as it is to the AWS CLI',
      'status --profile platform',
      { AWS_DEFAULT_REGION: 'ap-south-1' },
      ['OFPLATFORM', 'ap-south-1'],
    ],
  ])('%s', async (_, line, more, expected) => {
    const { code, stderr } = await run(line, { ...env(), ...more });
    expect(code).toBe(1);
    expect(stderr).toBe(
      'keyturn: there is no stack keyturn-dev here: look at --stage, --region, --profile\n',
    );
    expect(signed).toEqual([expected]);
  });

  it('are missed in one sentence where there are none', async () => {
    const { code, stderr } = await run('status --region eu-west-3', { ...env(), AWS_CONFIG_FILE: '/none' });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr:
        "keyturn: the stack keyturn-dev can't be read: there are no AWS credentials: set AWS_PROFILE or --profile, or log in\n",
    });
  });

  it('the stage is taken from KEYTURN_STAGE, and --stage wins', async () => {
    const staged = { ...env(), AWS_PROFILE: 'platform', KEYTURN_STAGE: 'prod' };
    expect((await run('status', staged)).stderr).toContain('keyturn-prod');
    expect((await run('status --stage qa', staged)).stderr).toContain('keyturn-qa');
  });
});
