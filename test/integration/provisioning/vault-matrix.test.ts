import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import {
  agentOf,
  call,
  dynamicLogin,
  podLogin,
  startVaultSetting,
  tokenAtWork,
  type VaultSetting,
} from './vault-setting.ts';

// Ids that begin alike, one of each kind of declaration.
const fleet = [
  agentOf('bill'),
  agentOf('billing', {
    kvPaths: ['team/billing', 'agents-shared/prices'],
    databaseRoles: ['billing-orders'],
  }),
  agentOf('billing-2', { databaseRoles: ['billing-2-orders', 'billing-2-stock'] }),
];

let setting: VaultSetting;
const tokens = new Map<string, string>();
const leases = new Map<string, string>();

beforeAll(async () => {
  setting = await startVaultSetting();
  for (const path of kvPaths) await setting.bao.request('POST', `secret/data/${path}`, { data: { n: 1 } });
  for (const agent of fleet) {
    const token = await tokenAtWork(setting, agent);
    tokens.set(agent.agentId, token);
    const [role] = agent.vault.databaseRoles;
    if (role) leases.set(agent.agentId, (await dynamicLogin(setting, token, role)).leaseId);
  }
});
afterAll(async () => setting?.[Symbol.asyncDispose]());

const kvPaths = [
  ...fleet.flatMap(({ agentId }) => [`agents/${agentId}/credentials`, `agents/${agentId}/deep/er`]),
  'agents/admin/root',
  'agents/bil/credentials',
  'agents/billing-22/credentials',
  'agents/BILLING/credentials',
  'agents-shared/prices',
  'agents-shared/other',
  'team/billing',
  'team/billing/below',
  'team/other',
  'infrastructure/ca',
];

/** As written on the wire. OpenBao must not understand them as a path that is the agent's. */
const tricks = [
  'secret/data/agents/billing/../search/credentials',
  'secret/data/agents/billing/%2e%2e/admin/root',
  'secret/data/agents/billing/..%2fadmin%2froot',
  'secret/data/agents/bill%69ng-2/%2e%2e/admin/root',
  'secret/data/agents/+/credentials',
  'secret/data/agents/*/credentials',
  'secret/data/agents/*',
  'secret/data/agents//admin/root',
  'secret/data//agents/admin/root',
  'secret/data/%61gents/admin/root',
  'secret//data/agents/admin/root',
  'secret/data/agents/b%C4%B1lling/credentials',
  'secret/data/agents/billing%00/credentials',
  'secret/data/agents/billing%20/credentials',
];

// Not sys/step-down: a server without a standby does nothing on it, and says so to anyone.
const elsewhere = [
  'secret/config',
  'secret/metadata',
  'secret/metadata/agents',
  ...['metadata', 'delete', 'undelete', 'destroy', 'subkeys'].flatMap((kind) => [
    `secret/${kind}/agents/billing/credentials`,
    `secret/${kind}/team/billing`,
  ]),
  'secret/data/agents',
  'secret/data/agents/billing',
  'database/roles/billing-orders',
  'database/roles',
  'database/config/main',
  'database/rotate-root/main',
  'database/static-creds/billing-orders',
  'database/creds/elsewhere',
  'auth/kubernetes/role/billing',
  'auth/kubernetes/config',
  'auth/token/create',
  'auth/token/create-orphan',
  'auth/token/lookup',
  'auth/token/accessors',
  'auth/token/revoke',
  'auth/token/roles/billing',
  'cubbyhole/mine',
  'identity/entity/id',
  'identity/lookup/entity',
  'sys/auth',
  'sys/mounts',
  'sys/policies/acl/agent-billing',
  'sys/policies/acl',
  'sys/policy/agent-billing',
  'sys/audit',
  'sys/raw/core',
  'sys/capabilities',
  'sys/leases/lookup/database/creds/billing-orders',
  'sys/leases/lookup',
  'sys/leases/revoke-prefix/database/creds/billing-orders',
  'sys/leases/revoke-force/database/creds/billing-orders',
  'sys/leases/tidy',
  'sys/renew',
  'sys/revoke',
  'sys/seal',
  'sys/rotate',
  'sys/wrapping/wrap',
  'sys/tools/random',
  'sys/config/auditing/request-headers',
];

/** What a declaration says, put in words of its own rather than the policy's. */
function mayRead({ agentId, vault }: Declaration, path: string): boolean {
  if (path === 'auth/token/lookup-self') return true;
  if (vault.databaseRoles.some((role) => path === `database/creds/${role}`)) return true;
  return kvPaths
    .filter((each) => each.split('/')[1] === agentId && each.startsWith('agents/'))
    .concat(vault.kvPaths)
    .some((own) => path === `secret/data/${own}`);
}

const paths = [
  ...kvPaths.map((path) => `secret/data/${path}`),
  ...fleet.flatMap(({ vault }) => vault.databaseRoles.map((role) => `database/creds/${role}`)),
  'auth/token/lookup-self',
  ...tricks,
  ...elsewhere,
];
const capabilities = ['GET', 'LIST', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

describe.each(fleet.map((agent) => [agent.agentId, agent] as const))('%s', (agentId, agent) => {
  test(`may read what it declared, and is refused all else of ${paths.length * capabilities.length} attempts`, async () => {
    const token = tokens.get(agentId) ?? '';
    const [allowed, expected]: [string[], string[]] = [[], []];
    const unrefused: string[] = [];
    for (const path of paths) {
      for (const method of capabilities) {
        const body = ['POST', 'PUT', 'PATCH'].includes(method) ? { data: { hand: 'made' } } : undefined;
        const patch = { 'content-type': 'application/merge-patch+json' };
        const { status } = await call(
          setting.bao,
          token,
          method,
          path,
          body,
          method === 'PATCH' ? patch : {},
        );
        if (status >= 200 && status < 300) allowed.push(`${method} ${path}`);
        // Not found would mean that the policy let it through. What isn't a path, or not a method of one, gets no further.
        else if (status !== 403 && status !== 405 && !(status === 400 && tricks.includes(path)))
          unrefused.push(`${method} ${path}: ${status}`);
        if (method === 'GET' && mayRead(agent, path)) expected.push(`GET ${path}`);
      }
    }
    expect(allowed).toEqual(expected);
    expect(unrefused).toEqual([]);
  });

  test('renews and ends its own leases, and no other agent’s, by whatever path', async () => {
    const token = tokens.get(agentId) ?? '';
    const attempt = async (verb: string, lease: string, body: object = {}) =>
      (await call(setting.bao, token, 'PUT', `sys/leases/${verb}`, { lease_id: lease, ...body })).status;
    for (const [owner, lease] of leases) {
      expect(await attempt('renew', lease, { increment: 60 }), `lease of ${owner}`).toBe(
        owner === agentId ? 200 : 403,
      );
      expect(await attempt('lookup', lease)).toBe(403);
      if (owner === agentId) continue;
      expect(await attempt('revoke', lease)).toBe(403);
      for (const path of [`sys/leases/renew/${lease}`, `sys/leases/revoke/${lease}`, `sys/revoke/${lease}`]) {
        expect((await call(setting.bao, token, 'PUT', path, {})).status).toBe(403);
      }
      // Two ids in one request: the policy looks at the one that is used.
      const own = leases.get(agentId) ?? 'database/creds/none/x';
      const both = await call(setting.bao, token, 'PUT', `sys/leases/revoke/${lease}`, { lease_id: own });
      expect(both.status).toBe(403);
    }
    expect(
      (await setting.admin.write('sys/leases/lookup', { lease_id: leases.get('billing') }))?.id,
    ).toBeDefined();
  });

  test('is logged in by its own service account, namespace and audience alone, and to its policy alone', async () => {
    const { bao, cluster } = setting;
    const attempt = async (namespace: string, account: string, options = {}) => {
      const jwt = cluster.serviceAccountToken(namespace, account, options);
      return call(bao, '', 'POST', 'auth/kubernetes/login', { role: agentId, jwt });
    };
    expect((await attempt('agents', agentId)).body).toMatchObject({
      auth: { policies: [`agent-${agentId}`] },
    });
    const refused = [
      await attempt('agents', `${agentId}-x`),
      await attempt('agent', agentId),
      await attempt('kube-system', agentId),
      await attempt('agents', agentId, { signedByUs: false }),
      await attempt('agents', agentId, { audience: 'https://kubernetes.default.svc' }),
    ];
    expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 403));
  });

  test('renews and ends its own token', async () => {
    const token = await podLogin(setting, agent);
    const post = (path: string) => call(setting.bao, token, 'POST', path, {});
    expect((await post('auth/token/renew-self')).status).toBe(200);
    expect((await post('auth/token/revoke-self')).status).toBe(204);
    expect((await post('auth/token/renew-self')).status).toBe(403);
  });
});

test('what no agent may read is refused even to a token that another policy lets in', async () => {
  await setting.admin.write('sys/policies/acl/too-wide', {
    policy: 'path "secret/*" { capabilities = ["read"] }',
  });
  const policies = ['too-wide', 'agent-billing'];
  const { auth } = z
    .object({ auth: z.object({ client_token: z.string() }) })
    .parse(await setting.bao.request('POST', 'auth/token/create', { policies, no_default_policy: true }));
  const read = async (path: string) =>
    (await call(setting.bao, auth.client_token, 'GET', `secret/data/${path}`)).status;
  expect(await read('team/other')).toBe(200);
  expect(await read('agents/admin/root')).toBe(403);
  expect(await read('infrastructure/ca')).toBe(403);
});
