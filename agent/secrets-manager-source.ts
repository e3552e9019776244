import {
  DecryptionFailure,
  GetSecretValueCommand,
  type GetSecretValueCommandOutput,
  InvalidRequestException,
  ResourceNotFoundException,
  SecretsManagerClient,
  type SecretsManagerClientConfig,
  SecretsManagerServiceException,
} from '@aws-sdk/client-secrets-manager';
import { SecretValue } from '../shared/credential/secret-value.ts';
import { errorClassOf } from '../shared/observability/error-class.ts';
import {
  SecretDeniedError,
  SecretMalformedError,
  SecretNotFoundError,
  SourceUnreachableError,
} from './errors.ts';
import { PATIENCE } from './patience.ts';
import { fieldsOf, type SecretSource, type SecretVersion } from './secret-version.ts';

/** A Secrets Manager client that says in CloudTrail that it is an agent's, and whose attempts end after 5 s. */
export function agentSecretsManager(config: SecretsManagerClientConfig = {}): SecretsManagerClient {
  return new SecretsManagerClient({ customUserAgent: 'keyturn/agent', requestHandler: PATIENCE, ...config });
}

/**
 * Reads secrets from AWS Secrets Manager with GetSecretValue.
 *
 * @example
 * const cache = new SecretCache(secretsManagerSource());
 */
export function secretsManagerSource(client: SecretsManagerClient = agentSecretsManager()): SecretSource {
  return {
    async fetch(secretId, { versionId, versionStage } = {}) {
      try {
        const answer = await client.send(
          new GetSecretValueCommand({
            SecretId: secretId,
            ...(versionId && { VersionId: versionId }),
            ...(versionStage && { VersionStage: versionStage }),
          }),
        );
        return versionOf(secretId, answer);
      } catch (error) {
        throw classified(secretId, error);
      }
    },
  };
}

function versionOf(secretId: string, answer: GetSecretValueCommandOutput): SecretVersion {
  const { ARN, Name, VersionId, CreatedDate, VersionStages = [], SecretString } = answer;
  if (!VersionId || !CreatedDate) {
    throw new SourceUnreachableError(`The answer for ${secretId} names no version`);
  }
  if (SecretString === undefined) throw new SecretMalformedError(`${secretId} holds binary, not JSON`);
  return Object.freeze({
    versionId: VersionId,
    ...(ARN !== undefined && { arn: ARN }),
    ...(Name !== undefined && { name: Name }),
    createdAt: CreatedDate.getTime(),
    stages: Object.freeze([...VersionStages]),
    fields: fieldsOf(SecretString),
    value: SecretValue.of(SecretString),
  });
}

/** The caller's fault by their status, and yet they pass: too many calls, or a session that is just being renewed. */
const PASSING = new Set([
  'ThrottlingException',
  'Throttling',
  'TooManyRequestsException',
  'ExpiredTokenException',
  'RequestExpired',
]);
/** Names and versions that can't be any. */
const INVALID = new Set(['ValidationException', 'InvalidParameterException']);
const DENIED = new Set(['AccessDeniedException', 'UnrecognizedClientException', 'InvalidSignatureException']);

/**
 * What the caller can do about a failure. The SDK's errors hold the request and the response, so none becomes a cause:
 * their name says enough. A failure to find credentials, and anything that never got an answer, may pass by itself.
 */
function classified(secretId: string, error: unknown): Error {
  if (error instanceof SecretMalformedError) return new SecretMalformedError(`${secretId}: ${error.message}`);
  if (error instanceof SourceUnreachableError) return error;
  if (error instanceof ResourceNotFoundException)
    return new SecretNotFoundError(`${secretId} does not exist`);
  // GetSecretValue makes no other invalid request than to read what is marked for deletion.
  if (error instanceof InvalidRequestException)
    return new SecretNotFoundError(`${secretId} is being deleted`);
  if (error instanceof DecryptionFailure) return new SecretDeniedError(`${secretId} can't be decrypted`);
  const name = errorClassOf(error);
  if (error instanceof SecretsManagerServiceException && error.$fault === 'client') {
    if (INVALID.has(name)) return new SecretNotFoundError(`${secretId} can't be asked for: ${name}`);
    if (DENIED.has(name)) return new SecretDeniedError(`${secretId}: ${name}`);
    if (!PASSING.has(name) && (error.$metadata.httpStatusCode ?? 0) === 403) {
      return new SecretDeniedError(`${secretId}: ${name}`);
    }
  }
  return new SourceUnreachableError(`${secretId} could not be read: ${name}`);
}
