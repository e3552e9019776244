/**
 * `masterarn` names a secret that isn't an admin's, by the deployment's parameter `adminSecrets`: another agent's, for instance, whose
 * login would be shown to a server that this secret names.
 */
export class AdminSecretNotAllowedError extends Error {
  override readonly name = 'AdminSecretNotAllowedError';
  constructor(field: string) {
    super(`Secret field ${field}: it names none of the deployment's adminSecrets`);
  }
}

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
