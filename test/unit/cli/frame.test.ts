import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { commands } from '../../../cli/commands.ts';
import { sentenceOf } from '../../../cli/failure.ts';
import { terminal } from '../../../cli/output.ts';
import { programFor } from '../../../cli/program.ts';
import { table } from '../../../cli/table.ts';
import { AwsCallError } from '../../../shared/aws/errors.ts';
import { FunctionFailedError, FunctionRefusedError } from '../../../shared/aws/function-errors.ts';
import { SecretsManagerError } from '../../../shared/secrets-manager/errors.ts';

it('takes the flags of a deployment before the command as well as behind it', async () => {
  const { args } = await programFor(['--stage', 'agent', 'agent', '--agent-id', 'a']);
  expect(args).toEqual(['agent', '--stage', 'agent', '--agent-id', 'a']);
});

it('loads the command that is called, and no other', async () => {
  const { program } = await programFor(['agent', '--help']);
  const flags = program.commands.map((each) => [each.name(), each.options.length > 0] as const);
  expect(flags.filter(([, isLoaded]) => isLoaded)).toEqual([['agent', true]]);
});

it.each(commands)(
  '$name --help says what it is for, what --json prints, and when it ends with 3',
  async (entry) => {
    const command = await entry.load();
    let help = '';
    command
      .configureOutput({
        writeOut: (text) => {
          help += text;
        },
      })
      .outputHelp();
    expect(command.description()).not.toBe('');
    const hasJson = command.options.some(({ long }) => long === '--json');
    expect(help.includes('--json prints')).toBe(hasJson);
    const neverEndsWithIt = ['rotate', 'tail', 'agent'].includes(entry.name);
    expect(/exits with 3/i.test(help)).toBe(!neverEndsWithIt);
  },
  30_000,
);

it.each([
  [
    'AccessDeniedException',
    'User: u is not authorized to perform: sns:Publish on: x',
    'AWS refused sns:Publish',
  ],
  ['ValidationException', "Value 'hunter2' at 'secretString' failed", 'AWS answered ValidationException'],
  ['CredentialsProviderError', 'Could not load credentials', 'there are no AWS credentials'],
])('says of %s what a user needs, and nothing that was sent', (name, message, expected) => {
  const error = Object.assign(new Error(message), { name, $metadata: {} });
  expect(sentenceOf(error)).toContain(expected);
  expect(sentenceOf(error)).not.toContain('hunter2');
});

it.each([
  ['AccessDeniedException', 'AWS refused secretsmanager:ListSecrets: these credentials may not do that'],
  ['ExpiredTokenException', 'the AWS credentials have expired: log in again'],
  ['ECONNREFUSED', 'the network failed (ECONNREFUSED): look at --region and the address'],
  ['InternalServiceError', 'AWS answered InternalServiceError to ListSecrets'],
])('says the same of %s where a part of ours called Secrets Manager', (code, expected) => {
  expect(sentenceOf(new SecretsManagerError('ListSecrets', code))).toBe(expected);
});

it('says the same where a part of ours called another service', () => {
  const refused = new AwsCallError('dynamodb:GetItem', 'AccessDeniedException');
  expect(sentenceOf(refused)).toBe('AWS refused dynamodb:GetItem: these credentials may not do that');
});

it.each([
  [
    new FunctionRefusedError(
      'arn:aws:lambda:eu-central-1:1:function:keyturn-prod-f',
      'AccessDeniedException',
    ),
    'AWS refused lambda:InvokeFunction on keyturn-prod-f: these credentials may not do that',
  ],
  [
    new FunctionRefusedError('keyturn-prod-f', 'ResourceNotFoundException'),
    'there is no function keyturn-prod-f: look at --stage and --region',
  ],
  [
    new FunctionFailedError('keyturn-prod-f', 'SecretsManagerError'),
    'keyturn-prod-f failed with SecretsManagerError: aws logs tail /aws/lambda/keyturn-prod-f --since 15m says why',
  ],
  [
    new FunctionFailedError('keyturn-prod-f', 'NoSuchSecretError'),
    'there is no such secret: keyturn status names them',
  ],
  [Object.assign(new Error('x'), { code: 'EADDRINUSE' }), /^the port is taken/],
  [Object.assign(new Error('x'), { code: 'EACCES' }), /^this user may not open a file or a port/],
])('tells a function and this machine from the network: %s', (error, expected) => {
  expect(sentenceOf(error)).toMatch(expected);
});

it('says nothing of an unknown error but its class', () => {
  expect(sentenceOf(new Error('password=hunter2'))).toBe('Error');
  expect(sentenceOf('hunter2')).toBe('failed');
});

it('lets no character through that a terminal would act on', () => {
  class OursError extends Error {}
  expect(sentenceOf(new OursError('a\u001b[31mb\r\nc\u202ed'))).toBe('a [31mb c d');
});

it('draws columns that awk can read', () => {
  expect(table(['SECRET', 'AGENT'], [['agents/a/credentials', 'a']])).toBe(
    'SECRET                AGENT\nagents/a/credentials  a',
  );
});

it('draws a paragraph a row where the columns are wider than the terminal', () => {
  const drawn = (width: number) =>
    table(
      ['SECRET', 'AGENT', 'HEALTH'],
      [
        ['agents/a/credentials', 'a', 'well'],
        ['agents/b/credentials', 'b', 'rotating'],
      ],
      width,
    );
  expect(drawn(37)).toContain('SECRET                AGENT  HEALTH\n');
  expect(drawn(36)).toBe(
    [
      'agents/a/credentials\n  AGENT   a\n  HEALTH  well',
      'agents/b/credentials\n  AGENT   b\n  HEALTH  rotating',
    ].join('\n\n'),
  );
  expect(table(['SECRET', 'AGENT'], [], 5)).toBe('SECRET  AGENT');
});

it('refuses what is dangerous where nobody can be asked, and goes on with --yes', async () => {
  const { confirm } = terminal(pipes());
  await expect(confirm('Cut it off?', { yes: false })).rejects.toThrow('say --yes');
  await expect(confirm('Cut it off?', { yes: true })).resolves.toBeUndefined();
});

it('keeps the result apart from remarks, and without colours where it goes into a pipe', async () => {
  const streams = pipes();
  const output = terminal(streams);
  output.print(output.colors.red('a row'));
  output.json({ schemaVersion: 1 });
  output.say('a remark');
  await output.during('a spinner', async (say) => say('turns'));
  expect(String(streams.stdout.read())).toBe('a row\n{\n  "schemaVersion": 1\n}\n');
  expect(String(streams.stderr.read())).toBe('a remark\n');
});

const pipes = () => ({ stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() });
