import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AttachRolePolicyCommand, CreateRoleCommand, IAMClient } from '@aws-sdk/client-iam';
import { startMinistack } from '../../../local/ministack/server.ts';
import { freePort } from '../../../local/ports.ts';

export const region = 'eu-central-1';
export const account = '000000000000';
export const deployment = {
  stage: 'dev',
  busName: 'keyturn-dev',
  invalidationTopicArn: `arn:aws:sns:${region}:${account}:keyturn-dev-invalidations`,
  secretsKeyArn: `arn:aws:kms:${region}:${account}:key/1`,
};

/** IAM with nothing in it, until it is disposed of. */
export async function iamForTests(): Promise<AsyncDisposable & { readonly iam: IAMClient }> {
  const port = await freePort();
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'ministack.log');
  const ministack = await startMinistack({ port, workerEndpoint: `http://127.0.0.1:${port}`, logFile });
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const iam = new IAMClient({ endpoint: ministack.url, region, credentials });
  return { iam, [Symbol.asyncDispose]: async () => ministack[Symbol.asyncDispose]() };
}

export const arnOf = (agentId: string) => `arn:aws:iam::${account}:policy/keyturn-dev-agent-${agentId}`;

/** A role as a platform makes it for an agent, with the agent's policy. */
export async function roleWithPolicyOf(agentId: string, iam: IAMClient): Promise<string> {
  const { Role } = await iam.send(
    new CreateRoleCommand({
      RoleName: agentId,
      AssumeRolePolicyDocument: JSON.stringify({
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Principal: { AWS: account }, Action: 'sts:AssumeRole' }],
      }),
      Tags: [{ Key: 'agent_id', Value: agentId }],
    }),
  );
  await iam.send(new AttachRolePolicyCommand({ RoleName: agentId, PolicyArn: arnOf(agentId) }));
  return Role?.Arn ?? '';
}
