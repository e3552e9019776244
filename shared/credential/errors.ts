/**
 * A secret's value can't be used as it is. Names the field and what was expected of it, never what it holds: mend the
 * secret, then rotate again.
 */
export class InvalidSecretError extends Error {
  override readonly name = 'InvalidSecretError';
  readonly field: string;
  constructor(field: string, expected: string) {
    super(`Secret field ${field}: expected ${expected}`);
    this.field = field;
  }
}
