import { readFile } from 'node:fs/promises';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { SourceUnreachableError } from '../errors.ts';

/** What a login sends to Vault, or a token that somebody else got. */
export type VaultCredential =
  | { readonly path: string; readonly body: Readonly<Record<string, string>> }
  | { readonly token: SecretValue };

/** Asked at each login, so that what rotates is read anew. What it fails with counts as Vault being out of reach. */
export type VaultLogin = () => Promise<VaultCredential>;

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/**
 * By the token of a pod's service account, which the kubelet rotates: its file is read at each login.
 *
 * @param options `tokenPath`: a projected token's, if its audience is Vault's. `mount`: default `kubernetes`.
 * @example
 * createAgentVault({ address, login: kubernetesLogin({ role: 'billing' }) });
 */
export function kubernetesLogin(options: {
  readonly role: string;
  readonly mount?: string | undefined;
  readonly tokenPath?: string | undefined;
}): VaultLogin {
  const { role, mount = 'kubernetes', tokenPath = SERVICE_ACCOUNT_TOKEN } = options;
  return async () => ({ path: `auth/${mount}/login`, body: { role, jwt: await contentOf(tokenPath) } });
}

/** By AppRole. `secretId` may be a function, for one that is delivered anew. */
export function appRoleLogin(options: {
  readonly roleId: string;
  readonly secretId: SecretValue | (() => Promise<SecretValue>);
  readonly mount?: string | undefined;
}): VaultLogin {
  const { roleId, secretId, mount = 'approle' } = options;
  return async () => {
    const value = typeof secretId === 'function' ? await secretId() : secretId;
    return { path: `auth/${mount}/login`, body: { role_id: roleId, secret_id: value.reveal() } };
  };
}

/** By a token that another process, such as Vault Agent, keeps in a file. It is never revoked by us. */
export function tokenFileLogin(path: string): VaultLogin {
  return async () => ({ token: SecretValue.of(await contentOf(path)) });
}

async function contentOf(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  if (text.trim() === '') throw new SourceUnreachableError(`${path} holds no token to log in with`);
  return text.trim();
}
