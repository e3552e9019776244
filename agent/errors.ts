import { errorClassOf } from '../shared/observability/error-class.ts';

/**
 * The source gave no answer worth the name: no connection, a time-out, throttling or a fault of its own. Trying again
 * later may help. Carries neither the request nor a value.
 */
export class SourceUnreachableError extends Error {
  override readonly name: string = 'SourceUnreachableError';
}

/**
 * The source doesn't let the agent log in. That says nothing of a secret: what is held stands in, as while the source is out of
 * reach, and the login is tried again.
 */
export class LoginRefusedError extends SourceUnreachableError {
  override readonly name = 'LoginRefusedError';
}

/** There is no such secret, or no such version of it; one that is scheduled for deletion counts as gone. */
export class SecretNotFoundError extends Error {
  override readonly name = 'SecretNotFoundError';
}

/** This agent may not read the secret, or may not use the key that encrypts it. */
export class SecretDeniedError extends Error {
  override readonly name = 'SecretDeniedError';
}

/** The secret's value is not what the agent can use: no JSON object, or a field that is needed is missing or wrong. */
export class SecretMalformedError extends Error {
  override readonly name = 'SecretMalformedError';
}

/**
 * The source is out of reach and nothing held may be served in its place: it is older than the hard bound, or older than
 * the version that a notice named. Its cause says why the source was not read.
 */
export class SecretUnavailableError extends Error {
  override readonly name = 'SecretUnavailableError';
}

/** What asking again won't change. */
const lasting = [SecretNotFoundError, SecretDeniedError, SecretMalformedError];

/**
 * Why a read failed, as callers are told: that the secret can't be had now, unless asking again won't change it. Of what isn't an
 * agent's own error only the class is told, for its message may quote anything.
 */
export function readFailure(secretId: string, error: unknown): unknown {
  if (lasting.some((one) => error instanceof one)) return error;
  const why = error instanceof SourceUnreachableError ? error.message : errorClassOf(error);
  return new SecretUnavailableError(`${secretId} can't be had, and nothing held may stand in: ${why}`, {
    cause: error,
  });
}

/** The agent, cache or pool was closed before the call. */
export class AgentClosedError extends Error {
  override readonly name = 'AgentClosedError';
}
