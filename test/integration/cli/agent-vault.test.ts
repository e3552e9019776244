import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { until } from '../../../local/until.ts';
import { type Cluster, startCluster } from '../agent/token-review.ts';
import { begun } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
const tokenFile = join(folder, 'service-account-token');
let bao: OpenBao;
let cluster: Cluster;

beforeAll(async () => {
  [bao, cluster] = await Promise.all([
    startOpenBao({ port: await freePort(), logFile: join(folder, 'bao.log') }),
    startCluster(await freePort()),
  ]);
  await bao.request('POST', 'sys/namespaces/platform');
  await bao.request('POST', 'platform/sys/mounts/agents-kv', { type: 'kv', options: { version: '2' } });
  await bao.request('POST', 'platform/sys/policies/acl/billing', {
    policy: 'path "agents-kv/data/agents/billing-7/*" { capabilities = ["read"] }',
  });
  await bao.request('POST', 'platform/sys/auth/eu-cluster', { type: 'kubernetes' });
  await bao.request('POST', 'platform/auth/eu-cluster/config', {
    kubernetes_host: cluster.url,
    kubernetes_ca_cert: 'not used over http',
    disable_local_ca_jwt: true,
  });
  await bao.request('POST', 'platform/auth/eu-cluster/role/billing', {
    bound_service_account_names: ['billing'],
    bound_service_account_namespaces: ['agents'],
    audience: 'vault',
    token_policies: ['billing'],
  });
});
afterAll(async () => {
  await Promise.allSettled([bao, cluster].map((part) => part?.[Symbol.asyncDispose]()));
});

const write = (name: string, model: string) =>
  bao.request('POST', `platform/agents-kv/data/agents/billing-7/${name}`, { data: { model } });

test('the sidecar reads a mount of a namespace, holds as many of its secrets as it may, and logs in where that cluster does', async () => {
  await until('the mount takes values', () => write('llm', 'in-platform'));
  await write('other', 'beside it');
  writeFileSync(tokenFile, cluster.serviceAccountToken('agents', 'billing'));
  const port = await freePort();
  const flags = `agent --agent-id billing-7 --port ${port} --vault-address ${bao.url} --vault-namespace platform
    --vault-mount agents-kv --max-secrets 1 --vault-role billing --vault-auth-mount eu-cluster --service-account-token-file ${tokenFile}`;
  const sidecar = begun(flags.split(/\s+/), {
    AWS_TOKEN: 'token-of-the-sidecar',
    AWS_REGION: 'eu-central-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  });
  try {
    const read = (query: string) =>
      fetch(`http://127.0.0.1:${port}/vault/get?${query}`, {
        headers: { 'x-vault-token': 'token-of-the-sidecar' },
      });
    const answer = await until('the sidecar answers', () => read('path=agents/billing-7/llm'));
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain('in-platform');
    await write('llm', 'changed');
    expect(await (await read('path=agents/billing-7/llm')).text()).toContain('in-platform');
    expect(await (await read('path=agents/billing-7/other')).text()).toContain('beside it');
    expect(await (await read('path=agents/billing-7/llm')).text(), 'the other took its place').toContain(
      'changed',
    );
    expect(await (await read('path=agents/research-1/llm')).text()).toContain('AccessDenied');
  } finally {
    sidecar.process.kill('SIGTERM');
  }
  expect(await sidecar.ran).toMatchObject({ code: 0, stderr: '' });
});
