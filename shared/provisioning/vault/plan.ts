import * as z from 'zod';
import type { VaultAdmin } from '../../vault/admin.ts';
import type { Change } from '../change.ts';
import type { Declaration } from '../declaration.ts';
import { type Fields, fieldsDiff, textDiff } from '../diff.ts';
import { databaseRole, isDatabaseRoleOf } from './database-role.ts';
import { isKubernetesRoleOf, kubernetesRole, kubernetesRoleName } from './kubernetes-role.ts';
import { defaultMounts, type VaultMounts } from './mounts.ts';
import { policyName, vaultPolicy } from './policy.ts';

/** Vault has no such connection to a database, or it doesn't take the role. Whoever runs Vault changes that. */
export class DatabaseConnectionError extends Error {
  override readonly name = 'DatabaseConnectionError';
}

/** Vault as its administrator sees it, and where in it things are mounted (default: `defaultMounts`). */
export interface VaultParts {
  readonly vault: VaultAdmin;
  readonly mounts?: VaultMounts;
}

/**
 * What Vault has to be made to for an agent: its policy, its role of the Kubernetes auth method, and its roles of the database
 * engine. Reads only.
 *
 * What is declared no more is found by what Vault has: the policy names the database roles of before. So they go before it does,
 * and a run that was killed between is made up for by the next.
 *
 * @throws DatabaseConnectionError, and the errors of Vault's adapter.
 */
export async function planVault(declared: Declaration, parts: VaultParts): Promise<readonly Change[]> {
  const { vault, mounts = defaultMounts } = parts;
  const { agentId } = declared;
  const login = databaseRole(declared);
  if (login) await assertTaken(declared, parts);
  const policyPath = `sys/policies/acl/${policyName(agentId)}`;
  const found = (await vault.read(policyPath))?.policy;
  const policy = typeof found === 'string' ? found : undefined;
  const roleAt = (name: string) => `${mounts.database}/roles/${name}`;
  const planned = await Promise.all([
    ...namedIn(policy ?? '', mounts)
      .filter((name) => !declared.vault.databaseRoles.includes(name))
      .map((name) =>
        removal(vault, roleAt(name), `database role ${name}`, (role) => isDatabaseRoleOf(agentId, role)),
      ),
    loginChange(declared, vault, mounts),
    policyChange(declared, vault, { path: policyPath, is: policy, policy: vaultPolicy(declared, mounts) }),
    ...(login
      ? declared.vault.databaseRoles.map((name) =>
          fieldsChange(vault, roleAt(name), `database role ${name}`, login),
        )
      : []),
  ]);
  return planned.filter((change) => change !== undefined);
}

/** The database roles that a policy of ours lets in. */
const namedIn = (policy: string, { database }: VaultMounts): readonly string[] =>
  [...policy.matchAll(/^path "([a-zA-Z0-9_/-]+)\/creds\/([a-z0-9-]+)" /gm)]
    .filter(([, mount]) => mount === database)
    .map(([, , name = '']) => name);

function policyChange(
  { agentId }: Declaration,
  vault: VaultAdmin,
  { path, is, policy }: { readonly path: string; readonly is: string | undefined; readonly policy: string },
): Change | undefined {
  const write = () => vault.write(path, { policy });
  return change(`policy ${policyName(agentId)}`, is === undefined, textDiff(is, policy), write);
}

/** A role that lets in to the agent's policy is the agent's; another one of its name is somebody else's. */
async function loginChange(
  declared: Declaration,
  vault: VaultAdmin,
  { kubernetes }: VaultMounts,
): Promise<Change | undefined> {
  const name = kubernetesRoleName(declared.agentId);
  const [path, resource] = [`auth/${kubernetes}/role/${name}`, `Kubernetes role ${name}`];
  const role = kubernetesRole(declared);
  if (role) return fieldsChange(vault, path, resource, role);
  return removal(vault, path, resource, (found) => isKubernetesRoleOf(declared.agentId, found));
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
async function removal(
  vault: VaultAdmin,
  path: string,
  resource: string,
  isOurs: (found: Readonly<Record<string, unknown>>) => boolean,
): Promise<Change | undefined> {
  const found = await vault.read(path);
  if (!found || !isOurs(found)) return undefined;
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
