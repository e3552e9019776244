export { SecretValue } from '../shared/credential/secret-value.ts';
export type { Adoption, AdoptionListener } from './adoption.ts';
export {
  AgentClosedError,
  SecretDeniedError,
  SecretMalformedError,
  SecretNotFoundError,
  SecretUnavailableError,
  SourceUnreachableError,
} from './errors.ts';
export { InvalidationListener, type InvalidationOptions } from './invalidation.ts';
export {
  type AgentPoolOptions,
  createKeyturnAgent,
  KeyturnAgent,
  type KeyturnAgentOptions,
} from './keyturn-agent.ts';
export { RotatingPool, type RotatingPoolOptions, rotatingPool } from './postgres.ts';
export { SecretCache, type SecretCacheOptions } from './secret-cache.ts';
export type { SecretSource, SecretVersion } from './secret-version.ts';
export { agentSecretsManager, secretsManagerSource } from './secrets-manager-source.ts';
export type { VersionNotice } from './version-floor.ts';
