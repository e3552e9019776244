/**
 * A service of AWS refused a call, or didn't answer. The code is AWS's own; AWS's error is left behind, since it holds the
 * request and the response.
 */
export class AwsCallError extends Error {
  override readonly name: string = 'AwsCallError';
  /** As a policy names it: `sns:Publish`. */
  readonly operation: string;
  readonly code: string;
  constructor(operation: string, code: string) {
    super(`${operation}: ${code}`);
    this.operation = operation;
    this.code = code;
  }
}

/**
 * The result of a call to AWS, or an AwsCallError. What a caller means to handle, it handles inside.
 *
 * @example
 * await calledAws('sns:Publish', () => sns.send(new PublishCommand({ ... })));
 */
export async function calledAws<T>(operation: `${string}:${string}`, call: () => Promise<T>): Promise<T> {
  const outcome = await outcomeOf(call);
  if ('code' in outcome) throw new AwsCallError(operation, outcome.code);
  return outcome.value;
}

/** What a call gave, or AWS's name of what went wrong. */
export async function outcomeOf<T>(
  call: () => Promise<T>,
): Promise<{ readonly value: T } | { readonly code: string }> {
  return call().then(
    (value) => ({ value }),
    (error: unknown) => ({ code: errorCodeOf(error) }),
  );
}

/** AWS's name of what went wrong; where the network failed, the socket's, which names it better than `Error`. */
export function errorCodeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const code = 'code' in error ? String(error.code) : '';
  return /^E[A-Z]+$/.test(code) ? code : error.name;
}
