export { SecretDisposedError, SecretValue } from '../shared/credential/secret-value.ts';
export type { Adoption, AdoptionListener } from './adoption.ts';
export {
  type AgentPoolOptions,
  AgentSecrets,
  type AgentSecretsOptions,
  createAgentSecrets,
} from './agent-secrets.ts';
export type { SecretCacheOptions } from './cache-options.ts';
export type { CacheStats, SecretHealth } from './cache-report.ts';
export {
  AgentClosedError,
  LoginRefusedError,
  SecretDeniedError,
  SecretMalformedError,
  SecretNotFoundError,
  SecretUnavailableError,
  SourceUnreachableError,
} from './errors.ts';
export { InvalidationListener, type InvalidationOptions } from './invalidation.ts';
export type { AgentLog } from './log.ts';
export type { OpenSecret } from './open-secret.ts';
export { RotatingPool, type RotatingPoolOptions, rotatingPool } from './postgres.ts';
export { isUnauthorized, type RefreshableSecrets, retryOnAuthFailure } from './retry-on-auth-failure.ts';
export { reveal } from './reveal.ts';
export {
  type ConnectionDriver,
  RotatingConnections,
  type RotatingConnectionsOptions,
  rotatingConnections,
} from './rotating-connections.ts';
export { SecretCache } from './secret-cache.ts';
export type { SecretSource, SecretVersion, WhichVersion } from './secret-version.ts';
export { agentSecretsManager, secretsManagerSource } from './secrets-manager-source.ts';
export type { PinnedSecrets } from './turn.ts';
export { AgentVault, type AgentVaultOptions, createAgentVault } from './vault/agent-vault.ts';
export type { DatabaseCredential } from './vault/database-lease.ts';
export {
  appRoleLogin,
  kubernetesLogin,
  tokenFileLogin,
  type VaultCredential,
  type VaultLogin,
} from './vault/login.ts';
export type { VersionNotice } from './version-floor.ts';
