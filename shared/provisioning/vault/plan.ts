import * as z from 'zod';
import type { VaultAdmin } from '../../vault/admin.ts';
import type { Change } from '../change.ts';
import type { Declaration } from '../declaration.ts';
import { type Fields, fieldsDiff, textDiff } from '../diff.ts';
import { databaseRole } from './database-role.ts';
import { kubernetesRole, kubernetesRoleName } from './kubernetes-role.ts';
import { defaultMounts, type VaultMounts } from './mounts.ts';
import { policyName, vaultPolicy } from './policy.ts';

/** Vault has no such connection to a database, or it doesn't take the role. Whoever runs Vault changes that. */
export class DatabaseConnectionError extends Error {
  override readonly name = 'DatabaseConnectionError';
}

export interface VaultParts {
  readonly vault: VaultAdmin;
  readonly mounts?: VaultMounts;
  /** As the agent was declared at the last apply: what it has no more is taken away. */
  readonly previous?: Declaration | undefined;
}

/**
 * What Vault has to be made to for an agent: its policy, its role of the Kubernetes auth method, and its roles of the database
 * engine. Reads only. The policy comes first: a role that names one that isn't there grants nothing, and what is taken away is
 * taken last.
 *
 * @throws DatabaseConnectionError, and the errors of Vault's adapter.
 */
export async function planVault(declared: Declaration, parts: VaultParts): Promise<readonly Change[]> {
  const { vault, mounts = defaultMounts, previous } = parts;
  const { agentId } = declared;
  const auth = `auth/${mounts.kubernetes}/role/${kubernetesRoleName(agentId)}`;
  const role = kubernetesRole(declared);
  const login = databaseRole(declared);
  const roleAt = (name: string) => `${mounts.database}/roles/${name}`;
  const undeclared = (previous && databaseRole(previous) ? previous.vault.databaseRoles : []).filter(
    (name) => login === undefined || !declared.vault.databaseRoles.includes(name),
  );
  if (login) await assertTaken(declared, parts);
  const planned = await Promise.all([
    policyChange(declared, vault, mounts),
    role && fieldsChange(vault, auth, `Kubernetes role ${kubernetesRoleName(agentId)}`, role),
    ...(login
      ? declared.vault.databaseRoles.map((name) =>
          fieldsChange(vault, roleAt(name), `database role ${name}`, login),
        )
      : []),
    ...undeclared.map((name) => removal(vault, roleAt(name), `database role ${name}`)),
    previous?.kubernetes && !role
      ? removal(vault, auth, `Kubernetes role ${kubernetesRoleName(agentId)}`)
      : undefined,
  ]);
  return planned.filter((change) => change !== undefined);
}

async function policyChange(
  declared: Declaration,
  vault: VaultAdmin,
  mounts: VaultMounts,
): Promise<Change | undefined> {
  const name = policyName(declared.agentId);
  const path = `sys/policies/acl/${name}`;
  const policy = vaultPolicy(declared, mounts);
  const found = (await vault.read(path))?.policy;
  const is = typeof found === 'string' ? found : undefined;
  return change(`policy ${name}`, is === undefined, textDiff(is, policy), () =>
    vault.write(path, { policy }),
  );
}

async function fieldsChange(
  vault: VaultAdmin,
  path: string,
  resource: string,
  wanted: Fields,
): Promise<Change | undefined> {
  const is = await vault.read(path);
  return change(resource, is === undefined, fieldsDiff(is, wanted), () => vault.write(path, wanted));
}

function change(
  resource: string,
  isNew: boolean,
  diff: readonly string[] | undefined,
  write: () => Promise<unknown>,
): Change | undefined {
  if (!diff) return undefined;
  return {
    system: 'Vault',
    resource,
    action: isNew ? 'create' : 'update',
    diff,
    apply: async () => void (await write()),
  };
}

/** Logins that a role made stay until their leases end. */
async function removal(vault: VaultAdmin, path: string, resource: string): Promise<Change | undefined> {
  if (!(await vault.read(path))) return undefined;
  return {
    system: 'Vault',
    resource,
    action: 'delete',
    diff: [`- ${resource}`],
    apply: () => vault.remove(path),
  };
}

const connection = z.object({ allowed_roles: z.array(z.string()) });

async function assertTaken(
  { vault: { databaseConnection = '', databaseRoles } }: Declaration,
  { vault, mounts = defaultMounts }: VaultParts,
): Promise<void> {
  const path = `${mounts.database}/config/${databaseConnection}`;
  const read = connection.safeParse(await vault.read(path));
  if (!read.success) {
    throw new DatabaseConnectionError(`Vault has no ${path}: whoever runs Vault makes it`);
  }
  const { allowed_roles } = read.data;
  const missing = databaseRoles.filter(
    (role) => !allowed_roles.includes(role) && !allowed_roles.includes('*'),
  );
  if (missing.length > 0) {
    throw new DatabaseConnectionError(
      `Vault's ${path} doesn't allow ${missing.join(', ')}: add to its allowed_roles`,
    );
  }
}
