import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { awsIamLogin } from './aws-iam-login.ts';
import { appRoleLogin, type VaultLogin } from './client.ts';
import { VaultUnreachableError } from './errors.ts';
import { readAppRole } from './login-secret.ts';
import type { VaultSettings } from './settings.ts';

/**
 * How a deployment logs in to its Vault: as its own IAM role where `VAULT_AWS_ROLE` is set, else by the AppRole in its login
 * secret. Region and credentials are those of the Secrets Manager client.
 *
 * @throws VaultUnreachableError at a login, where no Vault was deployed with.
 */
export function vaultLogin(settings: VaultSettings, secretsManager: SecretsManagerClient): VaultLogin {
  const { VAULT_ADDR, VAULT_LOGIN_SECRET, VAULT_AWS_ROLE, VAULT_AWS_SERVER_ID } = settings;
  if (VAULT_ADDR === '') {
    return async () => {
      throw new VaultUnreachableError('Keyturn was deployed without the parameter vaultAddress');
    };
  }
  if (VAULT_AWS_ROLE === '') return appRoleLogin(() => readAppRole(secretsManager, VAULT_LOGIN_SECRET));
  const { region, credentials } = secretsManager.config;
  return awsIamLogin({ role: VAULT_AWS_ROLE, serverId: VAULT_AWS_SERVER_ID, region, credentials });
}
