import type { SecretsManagerClientConfig } from '@aws-sdk/client-secrets-manager';

type Config = Pick<
  SecretsManagerClientConfig,
  'region' | 'endpoint' | 'credentials' | 'maxAttempts' | 'retryMode' | 'requestHandler'
>;

/** What an agent's clients of AWS are made with. */
export type AwsOptions = { readonly [Setting in keyof Config]?: Config[Setting] | undefined };

/** Without what is undefined: to the AWS SDK, and to what is spread over defaults, that is not as if it were left out. */
export function awsConfig(options: AwsOptions = {}): Config {
  const { region, endpoint, credentials, maxAttempts, retryMode, requestHandler } = options;
  return {
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials !== undefined && { credentials }),
    ...(maxAttempts !== undefined && { maxAttempts }),
    ...(retryMode !== undefined && { retryMode }),
    ...(requestHandler !== undefined && { requestHandler }),
  };
}
