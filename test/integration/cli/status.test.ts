import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { CreateScheduleCommand, SchedulerClient } from '@aws-sdk/client-scheduler';
import { DynamoDBDocumentClient, PutCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { scheduleName } from '../../../shared/grace/schedule.ts';
import { digest } from '../../../shared/reconciliation/open-findings.ts';
import { adoptionsIn } from '../../../shared/state/adoptions.ts';
import { type Aws, startAws } from './aws.ts';
import { canary, keyturn } from './command.ts';

let aws: Aws;
let openBao: OpenBao;
let arn: string;
let versionId: string;
beforeAll(async () => {
  aws = await startAws();
  openBao = await startOpenBao({
    port: await freePort({ next: true }),
    logFile: join(mkdtempSync(join(tmpdir(), 'keyturn-')), 'openbao.log'),
  });
  const { engine } = aws.secretsManager;
  const value = {
    engine: 'postgres',
    username: 'billing_a',
    password: canary,
    api_key: canary,
    region: canary,
  };
  const created = await engine.CreateSecret({
    Name: 'agents/billing-7/credentials',
    SecretString: JSON.stringify(value),
    Tags: Object.entries({
      agent_id: 'billing-7',
      managed_by: 'agent-platform',
      'keyturn:mirror': 'agents/billing-7/credentials',
      'keyturn:grace': '2h',
    }).map(([Key, Value]) => ({ Key, Value })),
  });
  arn = created.ARN;
  versionId = created.VersionId ?? '';
  await engine.CreateSecret({ Name: 'somebody/elses', SecretString: canary });
  await engine.CreateSecret({
    Name: 'agents/search/credentials',
    SecretString: JSON.stringify({ token: canary }),
    Tags: [
      { Key: 'agent_id', Value: 'search' },
      { Key: 'managed_by', Value: 'agent-platform' },
    ],
  });
});
afterAll(async () => {
  await openBao[Symbol.asyncDispose]();
  await aws[Symbol.asyncDispose]();
});

const documents = () => DynamoDBDocumentClient.from(new DynamoDBClient(aws.sdk));
const put = (Item: Record<string, unknown>) =>
  documents().send(new PutCommand({ TableName: aws.outputs.StateTableName, Item }));

const document = z.object({
  schemaVersion: z.literal(1),
  secrets: z.array(z.looseObject({ secret: z.string() })),
  backends: z.array(z.unknown()),
});
async function row(args: readonly string[] = [], env: Record<string, string> = {}) {
  const { stdout, code } = await keyturn(aws, ['status', 'billing-7', '--json', ...args], env);
  const { secrets } = document.parse(JSON.parse(stdout));
  return { code, row: secrets[0] };
}
const vault = () => ({ VAULT_ADDR: openBao.url, VAULT_TOKEN: openBao.rootToken });

describe('keyturn status', () => {
  it("shows the platform's secrets, and says why a cell can not be known", async () => {
    const { code, stdout, stderr } = await keyturn(aws, ['status']);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: '? mirror: VAULT_ADDR and VAULT_TOKEN are not both given\n',
    });
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(lines[0]).toEqual([
      'SECRET',
      'AGENT',
      'AGE',
      'ROTATED',
      'NEXT',
      'VERSION',
      'ADOPTED',
      'MIRROR',
      'GRACE',
      'HEALTH',
    ]);
    expect(
      lines
        .slice(1)
        .map(([secret, agent, , rotated, next, version, ...rest]) => [
          secret,
          agent,
          rotated,
          next,
          version?.length,
          ...rest,
        ]),
    ).toEqual([
      ['agents/billing-7/credentials', 'billing-7', 'never', 'off', 8, '-', '?', '-', 'well'],
      ['agents/search/credentials', 'search', 'never', 'off', 8, '-', '-', '-', 'well'],
    ]);
  });

  it('counts the instances that use the current version, and lists those of an agent', async () => {
    const adoptions = adoptionsIn(new DynamoDBClient(aws.sdk), aws.outputs.StateTableName ?? '');
    const adoptedAt = new Date().toISOString();
    await adoptions.keep({ secretArn: arn, agentInstanceId: 'pod-1', versionId, adoptedAt });
    await adoptions.keep({ secretArn: arn, agentInstanceId: 'pod-2', versionId: 'f'.repeat(32), adoptedAt });
    await adoptions.keep({
      secretArn: arn,
      agentInstanceId: 'gone',
      versionId,
      adoptedAt: '2020-01-01T00:00:00.000Z',
    });
    const { stdout } = await keyturn(aws, ['status', 'billing-7']);
    expect(stdout).toMatch(/billing-7\/credentials .* 1\/2 /);
    expect(stdout).toMatch(/^pod-1 .*credentials +[\w-]{8} +\d+s ago$/m);
    expect(stdout).toMatch(/^pod-2 .*ffffffff \(not current\)/m);
    expect(stdout).not.toContain('gone');
  });

  it('shows a running grace period and what is open, and ends with 3', async () => {
    await new SchedulerClient(aws.sdk).send(
      new CreateScheduleCommand({
        Name: scheduleName({ secretArn: arn, currentVersionId: versionId }),
        GroupName: aws.outputs.GraceScheduleGroupName,
        ScheduleExpression: 'at(2099-01-01T00:00:00)',
        FlexibleTimeWindow: { Mode: 'OFF' },
        Target: {
          Arn: 'arn:aws:lambda:eu-central-1:000000000000:function:none',
          RoleArn: 'arn:aws:iam::000000000000:role/none',
        },
      }),
    );
    const since = '2026-11-24T09:00:00.000Z';
    await put({ id: 'findings#stuck-rotation', state: { open: [digest(arn)], since } });
    await put({
      id: `rotation#${arn}`,
      state: { failure: { rotationId: versionId, since, failedAt: since } },
    });
    const problem = { severity: 'unhealthy', reason: 'VaultSealedError' };
    await put({
      id: 'health#vault',
      state: { health: { state: 'unhealthy', since, recent: [{ at: since, problem }] } },
    });
    await put({ id: 'health#newer', state: 'of a shape that nobody knows yet' });
    expect(await row()).toMatchObject({
      code: 3,
      row: {
        grace: { state: 'running' },
        health: {
          problems: [
            { kind: 'rotation-failed', since },
            { kind: 'stuck-rotation', since },
          ],
        },
      },
    });
    expect((await keyturn(aws, ['status'])).stdout).toContain('vault is unhealthy: VaultSealedError');
    const health = await keyturn(aws, ['health', '--json']);
    expect(health.code).toBe(3);
    expect(JSON.parse(health.stdout)).toMatchObject({
      backends: [{ backend: 'vault', state: 'unhealthy', since }],
      open: [
        { kind: 'rotation-failed', secrets: ['agents/billing-7/credentials'] },
        { kind: 'stuck-rotation', secrets: ['agents/billing-7/credentials'] },
      ],
    });
  });

  it('compares the stamp of a mirror with the current version', async () => {
    const stamp = (version: string, owner = arn) =>
      openBao.request('POST', 'secret/metadata/agents/billing-7/credentials', {
        custom_metadata: { keyturn_secret: owner, keyturn_version_id: version, keyturn_kv_version: '1' },
      });
    const mirror = async () => (await row([], vault())).row?.mirror;
    expect(await mirror()).toEqual({ state: 'missing' });
    await openBao.request('POST', 'secret/data/agents/billing-7/credentials', { data: { password: canary } });
    await stamp(versionId);
    expect(await mirror()).toEqual({ state: 'current' });
    await stamp('0'.repeat(32));
    expect(await mirror()).toEqual({ state: 'behind' });
    await stamp(versionId, 'arn:of:another');
    expect(await mirror()).toEqual({ state: 'foreign' });
    await stamp(versionId);
    await openBao.request('POST', 'secret/data/agents/billing-7/credentials', { data: { password: canary } });
    expect(await mirror()).toEqual({ state: 'changed' });
    const refused = (await row([], { ...vault(), VAULT_TOKEN: 'none' })).row?.mirror;
    expect(refused).toEqual({ state: 'unknown', reason: 'Vault refused the request' });
  });

  it('names static fields, without their values, where it is told to read them', async () => {
    const { stdout } = await keyturn(aws, ['status', '--fields']);
    expect(stdout).toContain('api_key, region are static');
    expect(stdout).toContain('token is static');
  });
});

describe('a deployment that is not there', () => {
  it('is told in one sentence', async () => {
    expect(await keyturn(aws, ['status', '--stage', 'prod'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'keyturn: there is no stack keyturn-prod here: look at --stage, --region, --profile\n',
    });
    const unreachable = { AWS_ENDPOINT_URL: 'http://127.0.0.1:9', AWS_MAX_ATTEMPTS: '1' };
    expect((await keyturn(aws, ['status'], unreachable)).stderr).toMatch(/^keyturn: .*ECONNREFUSED.*\n$/);
    expect(await keyturn(aws, ['status', '--nonsense'])).toMatchObject({ code: 2, stdout: '' });
  });
});
