import { identifier } from '../../rotators/postgres/roles.ts';
import type { Declaration } from '../declaration.ts';
import type { Fields } from '../diff.ts';

/**
 * A role of the database engine: each login that it makes is a member of the agent's group, and works as the group, so that what
 * one login made the next may use. It inherits nothing: what it would make outside the group it may not make, so nothing of it
 * stands in the way of its removal.
 *
 * Undefined without a connection: then whoever runs Vault made the roles too.
 */
export function databaseRole({ agentId, vault }: Pick<Declaration, 'agentId' | 'vault'>): Fields | undefined {
  if (vault.databaseConnection === undefined) return undefined;
  const group = identifier(agentId);
  return {
    db_name: vault.databaseConnection,
    creation_statements: [
      `CREATE ROLE "{{name}}" LOGIN NOINHERIT PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE ${group}`,
      entering(agentId),
    ],
    // In one transaction. Open sessions outlive their role: they are ended, and waited for, before it goes.
    revocation_statements: [
      'ALTER ROLE "{{name}}" NOLOGIN',
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{{name}}'`,
      'DROP ROLE IF EXISTS "{{name}}"',
    ],
    renew_statements: [],
    rollback_statements: [],
    default_ttl: secondsOf(vault.databaseTtl),
    max_ttl: secondsOf(vault.databaseMaxTtl),
  };
}

const entering = (agentId: string) => `ALTER ROLE "{{name}}" SET role = ${identifier(agentId)}`;

/** Whether a role as Vault has it makes logins of this agent, as only Keyturn's do. */
export const isDatabaseRoleOf = (
  agentId: string,
  { creation_statements: is }: Readonly<Record<string, unknown>>,
) => Array.isArray(is) && is.includes(entering(agentId));

function secondsOf(lifetime: string): number {
  const seconds = lifetime.endsWith('h') ? 3_600 : lifetime.endsWith('m') ? 60 : 1;
  return Number.parseInt(lifetime, 10) * seconds;
}
