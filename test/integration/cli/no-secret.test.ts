import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { GetQueueUrlCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../../cli/commands.ts';
import { rotationStarted } from '../../../events/rotation-started/event.ts';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { until } from '../../../local/until.ts';
import { deployFunction, rotatorSource } from '../secrets-manager-function.ts';
import { type Aws, startAws } from './aws.ts';
import { begun, canary, keyturn } from './command.ts';
import { reconcilerSource } from './reconciler.ts';
import { ctrlC, onTerminal } from './terminal.ts';

let aws: Aws;
let openBao: OpenBao;
let env: Readonly<Record<string, string>>;
const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
const agents = join(folder, 'agents');
const secret = 'agents/billing-7/credentials';
const [agentPort, agentToken] = [await freePort(), 'token-of-callers'];

/** A command that ends by itself. `FORM` is terminal or json, so that both runs find something to do. */
interface Run {
  readonly line: string;
  readonly code: number;
}
/** One that runs until Ctrl-C: after it has shown `words`, and `meanwhile` has come to its end. */
interface Watch {
  readonly line: string;
  readonly words: string;
  readonly meanwhile?: () => Promise<unknown>;
}
const cases: Readonly<Record<string, readonly (Run | Watch)[]>> = {
  status: [
    { line: `status billing-7 --fields`, code: 3 },
    { line: 'status --watch', words: secret },
  ],
  rotate: [
    { line: `rotate ${secret} --wait --yes`, code: 0 },
    { line: 'rotate agents/broken-FORM/credentials --wait --yes --timeout 2', code: 1 },
  ],
  health: [{ line: 'health', code: 0 }],
  tail: [{ line: 'tail', words: 'Rotation Started', meanwhile: publishing }],
  doctor: [{ line: 'doctor', code: 3 }],
  apply: [
    { line: `apply ${agents} --dry-run`, code: 3 },
    { line: `apply ${join(agents, 'held-FORM.yml')} --yes`, code: 0 },
    { line: `apply ${join(folder, 'wrong.yml')}`, code: 2 },
  ],
  provision: [
    { line: 'provision agent made-FORM --static api_key --yes', code: 0 },
    { line: 'provision agent shopping --admin-secret keyturn/admin/shop --yes', code: 1 },
  ],
  deprovision: [
    { line: 'deprovision agent held-FORM --dry-run', code: 3 },
    { line: 'deprovision agent held-FORM --yes', code: 0 },
  ],
  agent: [
    {
      line: `agent --agent-id billing-7 --port ${agentPort}`,
      words: 'serving the secrets of',
      meanwhile: asking,
    },
  ],
  reconcile: [
    { line: 'reconcile', code: 0 },
    { line: 'reconcile --secret failing', code: 1 },
  ],
  drift: [
    { line: 'drift', code: 3 },
    { line: 'drift --release failing --yes', code: 1 },
  ],
  redrive: [{ line: 'redrive', code: 3 }],
  unstick: [
    { line: 'unstick agents/a/credentials --yes', code: 0 },
    { line: 'unstick failing', code: 1 },
  ],
};

beforeAll(async () => {
  aws = await startAws();
  openBao = await startOpenBao({
    port: await freePort({ next: true }),
    logFile: join(folder, 'openbao.log'),
  });
  env = { VAULT_ADDR: openBao.url, VAULT_TOKEN: openBao.rootToken, AWS_TOKEN: agentToken };
  const { engine } = aws.secretsManager;
  const value = { generation: 0, password: canary, api_key: canary, host: '127.0.0.1', port: 9 };
  const put = async (Name: string, tags: Readonly<Record<string, string>> = {}) =>
    engine.CreateSecret({
      Name,
      SecretString: JSON.stringify(value),
      Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
    });
  const rotators = {
    'billing-7': await deployFunction(
      aws.sdk,
      'keyturn-dev-rotate-secret',
      rotatorSource.replace('{ generation }', `{ generation, password: '${canary}' }`),
    ),
    broken: await deployFunction(
      aws.sdk,
      'broken',
      `export const handler = async () => { throw new Error('${canary}'); };`,
    ),
  };
  await deployFunction(aws.sdk, 'keyturn-dev-reconcile-fleet', reconcilerSource);
  await deployFunction(aws.sdk, 'keyturn-dev-reconcile-mirrors', reconcilerSource);
  await put('asked');
  await put('keyturn/admin/shop');
  for (const agent of ['billing-7', 'broken-terminal', 'broken-json', 'held-terminal', 'held-json']) {
    const tags = { agent_id: agent, managed_by: 'agent-platform', 'keyturn:grace': '0s' };
    const { ARN } = await put(`agents/${agent}/credentials`, {
      ...tags,
      'keyturn:mirror': `agents/${agent}/credentials`,
    });
    const RotationLambdaARN = agent === 'billing-7' ? rotators['billing-7'] : rotators.broken;
    if (agent.startsWith('held')) continue;
    await engine.RotateSecret({
      SecretId: ARN,
      RotationLambdaARN,
      RotationRules: { AutomaticallyAfterDays: 30 },
      RotateImmediately: false,
    });
    await engine.idle();
  }
  await openBao.request('POST', 'secret/data/agents/billing-7/credentials', { data: { password: canary } });
  mkdirSync(agents);
  for (const agent of ['held-terminal', 'held-json'])
    writeFileSync(join(agents, `${agent}.yml`), `agentId: ${agent}\nstaticFields: [api_key, openai_key]\n`);
  writeFileSync(join(folder, 'wrong.yml'), `agentId: wrong\npassword: ${canary}\ngrace: ${canary}\n`);
  const sqs = new SQSClient({ ...aws.sdk, useQueueUrlAsEndpoint: false });
  for (const QueueName of ['keyturn-dev-dead-letters', 'keyturn-dev-mirror-dead-letters']) {
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }));
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: JSON.stringify({ password: canary }) }));
  }
});
afterAll(async () => {
  await openBao[Symbol.asyncDispose]();
  await aws[Symbol.asyncDispose]();
});

/** One event of ours, and one that only looks like it. */
async function publishing(): Promise<unknown> {
  const known = {
    schemaVersion: 1 as const,
    secret,
    secretArn: `arn:aws:secretsmanager:eu-central-1:000000000000:secret:${secret}-a1B2c3`,
    agentId: 'billing-7',
    rotationId: 'b'.repeat(32),
    startedAt: new Date().toISOString(),
  };
  const detail = { ...known, password: canary };
  const event = rotationStarted.of(known);
  return new EventBridgeClient(aws.sdk).send(
    new PutEventsCommand({
      Entries: [event, { ...event, detail }].map((each) => ({
        EventBusName: aws.outputs.BusName,
        Source: each.source,
        DetailType: each.detailType,
        Detail: JSON.stringify(each.detail),
      })),
    }),
  );
}

/** Callers of the sidecar: one that is given the secret, one that asks for what is not there, one without the token. */
async function asking(): Promise<unknown> {
  const url = `http://127.0.0.1:${agentPort}/secretsmanager/get?secretId=`;
  const headers = { 'X-Aws-Parameters-Secrets-Token': agentToken };
  const given = await fetch(url + secret, { headers });
  expect(await given.text()).toContain(canary);
  await fetch(`${url}agents/none`, { headers });
  return fetch(url + secret);
}

const words = (line: string, form: string) => line.replaceAll('FORM', form).split(' ');

it('knows a case for every command that there is', () => {
  expect(Object.keys(cases).toSorted()).toEqual(commands.map(({ name }) => name).toSorted());
});

describe.each(commands)('keyturn $name prints no secret', ({ name, load }) => {
  it.each(cases[name] ?? [])('on a terminal: $line', async (each) => {
    const terminal = onTerminal(aws, words(each.line, 'terminal'), { env });
    if ('words' in each) {
      await until('it listens', async () => /Listening|serving|SECRET/.test(terminal.shown()));
      await each.meanwhile?.();
      await terminal.answer(each.words, ctrlC);
    }
    expect(await terminal.ended).toMatchObject({ code: 'code' in each ? each.code : 0, isSane: true });
  });

  it.each(cases[name] ?? [])('for a machine: $line', async (each) => {
    const hasJson = (await load()).options.some(({ long }) => long === '--json');
    const args = [...words(each.line, 'json'), ...(hasJson ? ['--json'] : [])];
    if ('code' in each) return expect((await keyturn(aws, args, env)).code).toBe(each.code);
    const { process: running, ran } = begun(args, { ...aws.env, ...env });
    let shown = '';
    for (const stream of [running.stdout, running.stderr])
      stream?.on('data', (chunk: Buffer) => {
        shown += chunk.toString();
      });
    await until('it listens', async () => /Listening|serving|SECRET|secrets/.test(shown));
    await each.meanwhile?.();
    await until('it has shown it', async () => shown.includes(each.words));
    running.kill('SIGINT');
    expect((await ran).code).toBe(0);
  });
});
