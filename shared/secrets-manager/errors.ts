import { AwsCallError, outcomeOf } from '../aws/errors.ts';

/** Secrets Manager refused a call, or didn't answer: a rotation may go on by itself. */
export class SecretsManagerError extends AwsCallError {
  override readonly name = 'SecretsManagerError';
}

/** The result of a call to Secrets Manager, or a SecretsManagerError. */
export async function called<T>(operation: string, call: () => Promise<T>): Promise<T> {
  const outcome = await outcomeOf(call);
  if ('code' in outcome) throw new SecretsManagerError(operation, outcome.code);
  return outcome.value;
}
