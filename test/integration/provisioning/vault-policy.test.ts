import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { readDeclaration } from '../../../shared/provisioning/declaration.ts';
import { vaultPolicy } from '../../../shared/provisioning/vault/policy.ts';

let bao: OpenBao;
let token: string;

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
  bao = await startOpenBao({ port: await freePort(), logFile: join(folder, 'bao.log') });
  const agent = readDeclaration({
    agentId: 'billing',
    vault: { kvPaths: ['team/billing'], databaseRoles: ['orders'] },
  });
  await bao.request('POST', 'sys/policies/acl/billing', { policy: vaultPolicy(agent) });
  const created = await bao.request('POST', 'auth/token/create', {
    policies: ['billing'],
    no_default_policy: true,
  });
  token = z.object({ auth: z.object({ client_token: z.string() }) }).parse(created).auth.client_token;
});

afterAll(async () => bao?.[Symbol.asyncDispose]());

async function isRefused(method: string, path: string, body?: object): Promise<boolean> {
  const response = await fetch(`${bao.url}/v1/${path}`, {
    method,
    headers: { 'X-Vault-Token': token },
    ...(body && { body: JSON.stringify(body) }),
  });
  return response.status === 403;
}

test.each([
  ['GET', 'secret/data/agents/billing/credentials'],
  ['GET', 'secret/data/team/billing'],
  ['GET', 'database/creds/orders'],
  ['GET', 'auth/token/lookup-self'],
])('an agent may %s %s', async (method, path) => {
  expect(await isRefused(method, path)).toBe(false);
});

const others = [
  'agents/search/credentials',
  'agents/billing-2/credentials',
  'agents/admin/x',
  'infrastructure/x',
];
test.each([
  ...['GET', 'POST', 'DELETE'].flatMap((method) => others.map((path) => [method, `secret/data/${path}`])),
  ['POST', 'secret/data/agents/billing/credentials'],
  ['DELETE', 'secret/data/agents/billing/credentials'],
  ['GET', 'secret/metadata/agents/billing/credentials'],
  ['GET', 'secret/data/team/billing/more'],
  ['GET', 'database/creds/search'],
  ['GET', 'sys/policies/acl/billing'],
  ['POST', 'auth/token/create'],
])('an agent is refused %s %s', async (method = '', path = '') => {
  expect(await isRefused(method, path, method === 'POST' ? { data: {} } : undefined)).toBe(true);
});

test.each(['renew', 'revoke'])('an agent may %s leases of its own database role alone', async (verb) => {
  expect(await isRefused('PUT', `sys/leases/${verb}`, { lease_id: 'database/creds/orders/x' })).toBe(false);
  expect(await isRefused('PUT', `sys/leases/${verb}`, { lease_id: 'database/creds/search/x' })).toBe(true);
  expect(await isRefused('PUT', `sys/leases/${verb}/database/creds/search/x`, {})).toBe(true);
});
