import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Declaration,
  DeclarationError,
  readDeclaration,
} from '../../../shared/provisioning/declaration.ts';
import { databaseRole } from '../../../shared/provisioning/vault/database-role.ts';
import { kubernetesRole } from '../../../shared/provisioning/vault/kubernetes-role.ts';
import { vaultMounts } from '../../../shared/provisioning/vault/mounts.ts';
import { vaultPolicy } from '../../../shared/provisioning/vault/policy.ts';

const plain = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/).filter((name) => name !== 'admin');

/** What has a meaning of its own in a policy, a path, SQL or a glob, or looks like a letter that has none. */
const hostile = fc.constantFrom(
  ...[
    '*',
    '+',
    '..',
    '.',
    '%2e',
    '%',
    '"',
    "'",
    '\\',
    '\n',
    '{',
    '}',
    '{{name}}',
    '#',
    ' ',
    '\0',
    '?',
    '@',
    ':',
    ';',
  ],
  ...['а', 'е', 'ı', 'ﬁ', 'Ａ', 'é', '\u200b', '\u202e', 'K', '‐', '／', '∕', 'A'],
);
const tainted = fc
  .tuple(plain, hostile, fc.option(plain, { nil: '' }))
  .map(([before, taint, after]) => `${before}${taint}${after}`);

const postgres = {
  adminSecretArn: 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:keyturn/admin/db-AbCdEf',
  host: 'db.example',
  database: 'app',
};
const kubernetes = (more: object) => ({ serviceAccount: 'a', namespace: 'a', audience: 'vault', ...more });

test.each<[string, (name: string) => object]>([
  ['an agent id', (agentId) => ({ agentId })],
  ['a KV path', (path) => ({ agentId: 'a', vault: { kvPaths: [path] } })],
  ['a part of a KV path', (part) => ({ agentId: 'a', vault: { kvPaths: [`team/${part}/x`] } })],
  ['a database role', (role) => ({ agentId: 'a', vault: { databaseRoles: [role] } })],
  ['a connection', (name) => ({ agentId: 'a', postgres, vault: { databaseConnection: name } })],
  ['a service account', (serviceAccount) => ({ agentId: 'a', kubernetes: kubernetes({ serviceAccount }) })],
  ['a namespace', (namespace) => ({ agentId: 'a', kubernetes: kubernetes({ namespace }) })],
])('%s with a wildcard, dots, a quote or a look-alike in it is refused', (_, declaredWith) => {
  fc.assert(
    fc.property(tainted, (name) => {
      expect(() => readDeclaration(declaredWith(name))).toThrow(DeclarationError);
    }),
    { numRuns: 300 },
  );
});

test('a mount with a wildcard, dots or a quote in it is refused', () => {
  for (const mount of ['*', 'secret/*', '+', '../x', 'a"', 'a b', '/secret', 'secret/', '']) {
    expect(vaultMounts.safeParse({ kv: mount }).success).toBe(false);
  }
  expect(vaultMounts.parse({ kv: 'teams/ai/kv_2' }).kv).toBe('teams/ai/kv_2');
});

const declared: fc.Arbitrary<Declaration> = fc
  .record({
    agentId: plain,
    kvPaths: fc.array(plain, { maxLength: 3 }),
    roles: fc.array(plain, { maxLength: 3 }),
  })
  .map(({ agentId, kvPaths, roles }) =>
    readDeclaration({
      agentId,
      postgres,
      vault: {
        kvPaths: kvPaths.map((path) => `team-${path}`),
        databaseRoles: roles,
        databaseConnection: 'main',
      },
      kubernetes: kubernetes({}),
    }),
  );

test('whatever is declared, a policy grants paths of the agent alone, each spelt out but for its own folder', () => {
  fc.assert(
    fc.property(declared, (agent) => {
      const { agentId, vault } = agent;
      const granted = [...vaultPolicy(agent).matchAll(/^path "(.*)" \{ capabilities = \["(?!deny)/gm)].map(
        ([, path]) => path,
      );
      expect(granted.toSorted()).toEqual(
        [
          `secret/data/agents/${agentId}/*`,
          ...vault.kvPaths.map((path) => `secret/data/${path}`),
          ...vault.databaseRoles.map((role) => `database/creds/${role}`),
          ...['lookup-self', 'renew-self', 'revoke-self'].map((self) => `auth/token/${self}`),
        ].toSorted(),
      );
    }),
  );
});

test('whatever is declared, a role binds one account, and statements name one group, quoted', () => {
  fc.assert(
    fc.property(declared, (agent) => {
      expect(kubernetesRole(agent)).toMatchObject({
        bound_service_account_names: ['a'],
        bound_service_account_namespaces: ['a'],
        token_policies: [`agent-${agent.agentId}`],
        token_no_default_policy: true,
      });
      expect(databaseRole(agent)?.creation_statements).toEqual([
        expect.stringMatching(new RegExp(` IN ROLE "${agent.agentId}"$`)),
        `ALTER ROLE "{{name}}" SET role = "${agent.agentId}"`,
      ]);
    }),
  );
});

test('without a connection no database role is made, without a cluster no login role', () => {
  const agent = readDeclaration({ agentId: 'a', vault: { databaseRoles: ['orders'] } });
  expect([databaseRole(agent), kubernetesRole(agent)]).toEqual([undefined, undefined]);
});

test('a connection without a declared database is refused', () => {
  expect(() => readDeclaration({ agentId: 'a', vault: { databaseConnection: 'main' } })).toThrow(
    'vault.databaseConnection: needs postgres',
  );
});

test('lifetimes are seconds to Vault', () => {
  const vault = { databaseConnection: 'main', databaseTtl: '90s', databaseMaxTtl: '15m' };
  const role = databaseRole(readDeclaration({ agentId: 'a', postgres, vault }));
  expect(role).toMatchObject({ default_ttl: 90, max_ttl: 900 });
});
