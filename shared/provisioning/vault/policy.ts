import type { Declaration } from '../declaration.ts';
import { defaultMounts, type VaultMounts } from './mounts.ts';

export const policyName = (agentId: string) => `agent-${agentId}`;

/**
 * The HCL policy of an agent: it reads its own KV paths (its mirror among them) and database logins, ends and renews leases of
 * those logins and its own token, and looks the token up. Everything else is refused, leases of other agents by their id too.
 * What no agent reads is denied aloud: a second policy of the same token can't grant it by the same path or a broader one. By one
 * that is more specific it can, since Vault goes by the most specific path.
 *
 * A token that may not renew or end itself would leave a token, and the leases under it, behind at each login.
 *
 * @example
 * vaultPolicy(readDeclaration({ agentId: 'billing', vault: { databaseRoles: ['orders'] } }));
 */
export function vaultPolicy(
  { agentId, vault }: Pick<Declaration, 'agentId' | 'vault'>,
  { kv, database }: VaultMounts = defaultMounts,
): string {
  const roles = vault.databaseRoles;
  const leases = roles.map((role) => `"${database}/creds/${role}/*"`).join(', ');
  const onLeases = (verb: string, option: string) =>
    `path "sys/leases/${verb}" {\n  capabilities = ["update"]\n  required_parameters = ["lease_id"]\n  allowed_parameters = { "lease_id" = [${leases}], "${option}" = [] }\n}`;
  return [
    `# Kept by Keyturn, from the declaration of ${agentId}.`,
    `path "${kv}/data/agents/${agentId}/*" { capabilities = ["read"] }`,
    ...vault.kvPaths.map((path) => `path "${kv}/data/${path}" { capabilities = ["read"] }`),
    ...roles.map((role) => `path "${database}/creds/${role}" { capabilities = ["read"] }`),
    ...(leases ? [onLeases('renew', 'increment'), onLeases('revoke', 'sync')] : []),
    'path "auth/token/lookup-self" { capabilities = ["read"] }',
    'path "auth/token/renew-self" { capabilities = ["update"] }',
    'path "auth/token/revoke-self" { capabilities = ["update"] }',
    ...['agents/admin', 'infrastructure'].map(
      (path) => `path "${kv}/data/${path}/*" { capabilities = ["deny"] }`,
    ),
    '',
  ].join('\n');
}
