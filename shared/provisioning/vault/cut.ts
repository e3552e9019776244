import pMap from 'p-map';
import * as z from 'zod';
import type { VaultAdmin } from '../../vault/admin.ts';
import { VaultDeniedError, VaultResponseError, VaultUnreachableError } from '../../vault/errors.ts';
import type { Cut } from '../cut.ts';
import type { Declaration } from '../declaration.ts';
import { kubernetesRoleName } from './kubernetes-role.ts';
import { defaultMounts, type VaultMounts } from './mounts.ts';
import { policyName } from './policy.ts';

/** Vault can't end some logins: their database doesn't answer, or refuses. Everything else was cut. Worth a retry. */
export class LeasesRemainError extends Error {
  override readonly name = 'LeasesRemainError';
}

export interface CutParts {
  readonly vault: VaultAdmin;
  readonly mounts?: VaultMounts;
  readonly now?: () => Date;
  /** Told of each cut when it is made, so that a run that dies has reported what it did. */
  readonly onCut: (cut: Cut) => void;
}

/**
 * Takes from an agent all that it has in Vault. First its policy, whose end takes every right from its tokens at once, and the
 * role that it logs in by: nothing new comes to be while the rest is searched. Then its logins of databases, its tokens, and
 * the database roles.
 *
 * Killed anywhere, the next run finds what is left: leases by their roles' prefix, tokens by the name of the policy, which they
 * keep. A role whose leases remain is kept, for they are found by it. Repeated, it finds nothing and reports nothing.
 *
 * @throws LeasesRemainError, and the errors of Vault's adapter.
 */
export async function cutVaultAccess(
  { agentId, vault: { databaseRoles, databaseConnection } }: Pick<Declaration, 'agentId' | 'vault'>,
  { vault, mounts = defaultMounts, now = () => new Date(), onCut }: CutParts,
): Promise<void> {
  const cut = (resource: string) => onCut({ system: 'Vault', resource, at: now() });
  const remove = async (path: string, resource: string) => {
    if (!(await vault.read(path))) return;
    await vault.remove(path);
    cut(resource);
  };
  await remove(`sys/policies/acl/${policyName(agentId)}`, `policy ${policyName(agentId)}`);
  const role = kubernetesRoleName(agentId);
  await remove(`auth/${mounts.kubernetes}/role/${role}`, `Kubernetes role ${role}`);

  const endLeases = async (prefix: string): Promise<'ended' | 'remain'> => {
    const before = await vault.list(`sys/leases/lookup/${prefix}`);
    if (before.length === 0) return 'ended';
    // Refused where a database doesn't answer: what is left tells.
    await vault.write(`sys/leases/revoke-prefix/${prefix}`, { sync: true }).catch(unlessRefused);
    const after = await vault.list(`sys/leases/lookup/${prefix}`);
    const ended = before.length - after.length;
    if (ended > 0) cut(`${counted(ended, 'lease')} of ${prefix}`);
    return after.length === 0 ? 'ended' : 'remain';
  };
  const logins = databaseRoles.map((name) => ({ name, prefix: `${mounts.database}/creds/${name}` }));
  for (const { prefix } of logins) await endLeases(prefix);

  const tokens = await revokeTokens(vault, policyName(agentId));
  if (tokens > 0) cut(`${counted(tokens, 'token')} with policy ${policyName(agentId)}`);

  const remaining: string[] = [];
  for (const { name, prefix } of logins) {
    // Once more: a login that was being made when the policy ended has its lease by now.
    if ((await endLeases(prefix)) === 'remain') remaining.push(prefix);
    else if (databaseConnection !== undefined) {
      await remove(`${mounts.database}/roles/${name}`, `database role ${name}`);
    }
  }
  if (remaining.length > 0) {
    throw new LeasesRemainError(
      `Vault can't end the leases of ${remaining.join(', ')}: their database must answer`,
    );
  }
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

function unlessRefused(error: unknown): void {
  if (error instanceof VaultResponseError || error instanceof VaultUnreachableError) return;
  throw error;
}

const token = z.object({ policies: z.array(z.string()) });

/** Gives how many. A token that ends meanwhile is refused by Vault as one that may not be looked at is: the list tells. */
async function revokeTokens(vault: VaultAdmin, policy: string): Promise<number> {
  let revoked = 0;
  const failed = new Map<string, unknown>();
  const accessors = await vault.list('auth/token/accessors');
  const visit = async (accessor: string) => {
    try {
      const found = token.safeParse(await vault.write('auth/token/lookup-accessor', { accessor }));
      if (!found.success || !found.data.policies.includes(policy)) return;
      await vault.write('auth/token/revoke-accessor', { accessor });
      revoked += 1;
    } catch (error) {
      if (!(error instanceof VaultResponseError || error instanceof VaultDeniedError)) throw error;
      failed.set(accessor, error);
    }
  };
  await pMap(accessors, visit, { concurrency: 16 });
  if (failed.size > 0) {
    for (const accessor of await vault.list('auth/token/accessors')) {
      if (failed.has(accessor)) throw failed.get(accessor);
    }
  }
  return revoked;
}
