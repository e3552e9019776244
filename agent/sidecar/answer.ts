import {
  SecretDeniedError,
  SecretMalformedError,
  SecretNotFoundError,
  SecretUnavailableError,
} from '../errors.ts';
import type { SecretVersion } from '../secret-version.ts';
import { RefusedRequestError } from './route.ts';

/** What goes over the wire: text, since Node sends a head and a text as one piece. */
export interface Answer {
  readonly headers: string[];
  readonly body: string;
}

/** `headers`: names and values in turn, as `writeHead` takes them with the least work. */
export function answerOf(type: string, body: string): Answer {
  const length = String(Buffer.byteLength(body));
  return { headers: ['content-type', type, 'content-length', length, 'cache-control', 'no-store'], body };
}

const answers = new WeakMap<SecretVersion, Answer>();

/** A version as GetSecretValue's answer has it. Made once a version: most of what a sidecar answers is a repeat. */
export function secretAnswer(secretId: string, version: SecretVersion): Answer {
  const known = answers.get(version);
  if (known) return known;
  const answer = answerOf(
    'application/json',
    JSON.stringify({
      ARN: version.arn ?? secretId,
      Name: version.name ?? secretId,
      VersionId: version.versionId,
      SecretString: version.value.reveal(),
      VersionStages: version.stages,
      CreatedDate: version.createdAt / 1_000,
    }),
  );
  answers.set(version, answer);
  return answer;
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
