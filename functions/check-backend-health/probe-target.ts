import { GetSecretValueCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SecretJson } from '../../shared/credential/secret-json.ts';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import type { Problem } from '../../shared/health/episode.ts';
import { connected } from '../../shared/rotators/postgres/connection.ts';
import { postgresLogin } from '../../shared/rotators/postgres/credential.ts';
import type { Target } from './probe-secrets-manager.ts';

/**
 * Logs in to a target as a rotation's admin would, and asks for one row. TLS is verified unless the secret says `ssl: false`.
 *
 * @throws what a rotation would fail with: the login is refused, the server can't be reached, the secret can't be read.
 */
export async function probeTarget(
  client: SecretsManagerClient,
  { secretArn }: Target,
  deadlineMs: number,
): Promise<Problem | undefined> {
  const { SecretString = '' } = await client.send(new GetSecretValueCommand({ SecretId: secretArn }), {
    abortSignal: AbortSignal.timeout(deadlineMs),
  });
  const login = postgresLogin(SecretJson.parse(SecretValue.of(SecretString)));
  await connected(login, (connection) => connection.query('SELECT 1'));
  return undefined;
}
