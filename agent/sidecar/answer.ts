import {
  SecretDeniedError,
  SecretMalformedError,
  SecretNotFoundError,
  SecretUnavailableError,
} from '../errors.ts';
import type { SecretVersion } from '../secret-version.ts';
import { RefusedRequestError } from './route.ts';

const bodies = new WeakMap<SecretVersion, Buffer>();

/** A version as GetSecretValue's answer has it, in bytes. Made once a version: most of what a sidecar answers is a repeat. */
export function bodyOf(secretId: string, version: SecretVersion): Buffer {
  const known = bodies.get(version);
  if (known) return known;
  const body = Buffer.from(
    JSON.stringify({
      ARN: version.arn ?? secretId,
      Name: version.name ?? secretId,
      VersionId: version.versionId,
      SecretString: version.value.reveal(),
      VersionStages: version.stages,
      CreatedDate: version.createdAt / 1_000,
    }),
  );
  bodies.set(version, body);
  return body;
}

/** Status and body of a failure, as AWS's agent passes Secrets Manager's errors on: `__type` and `message`. */
export function failureOf(error: unknown): { readonly status: number; readonly body: string } {
  if (error instanceof RefusedRequestError) return { status: error.status, body: error.message };
  const [status, type] = kindOf(error);
  const message = type === 'InternalFailure' ? 'The sidecar failed' : messageOf(error);
  return { status, body: JSON.stringify({ __type: type, message }) };
}

function kindOf(error: unknown): readonly [number, string] {
  if (error instanceof SecretNotFoundError) return [400, 'ResourceNotFoundException'];
  if (error instanceof SecretDeniedError) return [400, 'AccessDeniedException'];
  if (error instanceof SecretMalformedError) return [400, 'InvalidRequestException'];
  if (error instanceof SecretUnavailableError) return [503, 'ServiceUnavailableException'];
  return [500, 'InternalFailure'];
}

/** The agent's own errors say which secret and why, and hold no value. */
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : '';
}
