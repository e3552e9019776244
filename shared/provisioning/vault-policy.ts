import type { Declaration } from './declaration.ts';

/** Said aloud, so that a second policy of the same token can't grant them. */
const denied = ['agents/admin', 'infrastructure'].map(
  (path) => `path "secret/data/${path}/*" { capabilities = ["deny"] }`,
);

/**
 * The HCL policy of an agent: it reads its own KV paths (its mirror among them) and database logins, ends and renews leases of
 * those logins, and looks its token up. Everything else is refused, leases of other agents by their id too.
 *
 * @example
 * vaultPolicy(readDeclaration({ agentId: 'billing', vault: { databaseRoles: ['orders'] } }));
 */
export function vaultPolicy({ agentId, vault }: Pick<Declaration, 'agentId' | 'vault'>): string {
  const roles = vault.databaseRoles;
  const leases = roles.map((role) => `"database/creds/${role}/*"`).join(', ');
  return [
    `path "secret/data/agents/${agentId}/*" { capabilities = ["read"] }`,
    ...vault.kvPaths.map((path) => `path "secret/data/${path}" { capabilities = ["read"] }`),
    ...roles.map((role) => `path "database/creds/${role}" { capabilities = ["read"] }`),
    ...(leases
      ? [
          `path "sys/leases/renew" {\n  capabilities = ["update"]\n  required_parameters = ["lease_id"]\n  allowed_parameters = { "lease_id" = [${leases}], "increment" = [] }\n}`,
          `path "sys/leases/revoke" {\n  capabilities = ["update"]\n  required_parameters = ["lease_id"]\n  allowed_parameters = { "lease_id" = [${leases}], "sync" = [] }\n}`,
        ]
      : []),
    'path "auth/token/lookup-self" { capabilities = ["read"] }',
    ...denied,
    '',
  ].join('\n');
}
