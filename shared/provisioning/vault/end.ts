import pMap from 'p-map';
import * as z from 'zod';
import type { VaultAdmin } from '../../vault/admin.ts';
import { VaultDeniedError, VaultResponseError, VaultUnreachableError } from '../../vault/errors.ts';
import type { Change } from '../change.ts';
import type { Declaration } from '../declaration.ts';
import { kubernetesRoleName } from './kubernetes-role.ts';
import { defaultMounts } from './mounts.ts';
import type { VaultParts } from './plan.ts';
import { policyName } from './policy.ts';

/** Vault can't end some logins: their database doesn't answer, or refuses. The agent's tokens are gone. Worth a retry. */
export class LeasesRemainError extends Error {
  override readonly name = 'LeasesRemainError';
}

/**
 * What an agent has in Vault, and how to take it. First its policy, whose end takes every right from its tokens at once, and the
 * role that it logs in by: nothing new comes to be while the rest is searched. Then its logins of databases, its tokens, and
 * the database roles. Reads only.
 *
 * Killed anywhere, the next run finds what is left: leases by their roles' prefix, tokens by the name of the policy, which they
 * keep. A role whose leases remain is kept, for they are found by it.
 */
export async function planVaultEnd(
  { agentId, vault: { databaseRoles, databaseConnection } }: Pick<Declaration, 'agentId' | 'vault'>,
  { vault, mounts = defaultMounts }: Pick<VaultParts, 'vault' | 'mounts'>,
): Promise<readonly Change[]> {
  const policy = policyName(agentId);
  const login = kubernetesRoleName(agentId);
  const removal = async (path: string, resource: string, before?: () => Promise<void>) => {
    if (!(await vault.read(path))) return [];
    return [
      ending(resource, async () => {
        await before?.();
        await vault.remove(path);
      }),
    ];
  };
  const endLeases = async (prefix: string) => {
    if ((await leasesEnded(vault, prefix)) === 'ended') return;
    await revokeTokens(vault, await tokensWith(vault, policy));
    throw new LeasesRemainError(`Vault can't end the leases of ${prefix}: its database must answer`);
  };
  const roles = databaseRoles.map((name) => ({ name, prefix: `${mounts.database}/creds/${name}` }));

  const changes = [
    ...(await removal(`sys/policies/acl/${policy}`, `policy ${policy}`)),
    ...(await removal(`auth/${mounts.kubernetes}/role/${login}`, `Kubernetes role ${login}`)),
  ];
  for (const { prefix } of roles) {
    const { length } = await vault.list(`sys/leases/lookup/${prefix}`);
    if (length > 0) changes.push(ending(`${counted(length, 'lease')} of ${prefix}`, () => endLeases(prefix)));
  }
  const tokens = await tokensWith(vault, policy);
  if (tokens.length > 0) {
    changes.push(
      ending(`${counted(tokens.length, 'token')} with policy ${policy}`, async () =>
        // Searched anew: one may have come to be before the policy went.
        revokeTokens(vault, await tokensWith(vault, policy)),
      ),
    );
  }
  for (const { name, prefix } of databaseConnection === undefined ? [] : roles) {
    // A login that was being made when the policy went has its lease by now.
    const path = `${mounts.database}/roles/${name}`;
    changes.push(...(await removal(path, `database role ${name}`, () => endLeases(prefix))));
  }
  return changes;
}

const ending = (resource: string, apply: () => Promise<void>): Change => ({
  system: 'Vault',
  resource,
  action: 'delete',
  diff: [`- ${resource}`],
  apply,
});

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

async function leasesEnded(vault: VaultAdmin, prefix: string): Promise<'ended' | 'remain'> {
  // Refused where a database doesn't answer: what is left tells.
  await vault.write(`sys/leases/revoke-prefix/${prefix}`, { sync: true }).catch((error: unknown) => {
    if (!(error instanceof VaultResponseError || error instanceof VaultUnreachableError)) throw error;
  });
  return (await vault.list(`sys/leases/lookup/${prefix}`)).length === 0 ? 'ended' : 'remain';
}

const token = z.object({ policies: z.array(z.string()) });

/** The accessors of the tokens with a policy: Vault has no index of them, so each token is looked at. */
async function tokensWith(vault: VaultAdmin, policy: string): Promise<readonly string[]> {
  return eachOf(vault, await vault.list('auth/token/accessors'), async (accessor) => {
    const found = token.safeParse(await vault.write('auth/token/lookup-accessor', { accessor }));
    return found.success && found.data.policies.includes(policy);
  });
}

async function revokeTokens(vault: VaultAdmin, accessors: readonly string[]): Promise<void> {
  await eachOf(vault, accessors, async (accessor) => {
    await vault.write('auth/token/revoke-accessor', { accessor });
    return true;
  });
}

/**
 * Those accessors that `visit` says yes to. A token that ends meanwhile is refused by Vault just as one that may not be looked
 * at is: the list of accessors tells which it was.
 */
async function eachOf(
  vault: VaultAdmin,
  accessors: readonly string[],
  visit: (accessor: string) => Promise<boolean>,
): Promise<readonly string[]> {
  const refused = new Map<string, unknown>();
  const attempt = async (accessor: string) => {
    try {
      return (await visit(accessor)) ? [accessor] : [];
    } catch (error) {
      if (!(error instanceof VaultResponseError || error instanceof VaultDeniedError)) throw error;
      refused.set(accessor, error);
      return [];
    }
  };
  const chosen = await pMap(accessors, attempt, { concurrency: 16 });
  if (refused.size > 0) {
    for (const accessor of await vault.list('auth/token/accessors')) {
      if (refused.has(accessor)) throw refused.get(accessor);
    }
  }
  return chosen.flat();
}
