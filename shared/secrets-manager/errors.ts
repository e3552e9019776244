import { outcomeOf } from '../aws/errors.ts';

/**
 * Secrets Manager refused a call, or didn't answer. The code is AWS's own; AWS's error is left behind, since it holds the
 * request and the response.
 */
export class SecretsManagerError extends Error {
  override readonly name = 'SecretsManagerError';
  readonly operation: string;
  readonly code: string;
  constructor(operation: string, code: string) {
    super(`${operation}: ${code}`);
    this.operation = operation;
    this.code = code;
  }
}

/** The result of a call to Secrets Manager, or a SecretsManagerError. */
export async function called<T>(operation: string, call: () => Promise<T>): Promise<T> {
  const outcome = await outcomeOf(call);
  if ('code' in outcome) throw new SecretsManagerError(operation, outcome.code);
  return outcome.value;
}
