/** Down, wrong address, timed out, too busy, or its TLS certificate isn't trusted. The same call may work later. */
export class TargetUnreachableError extends Error {
  override readonly name = 'TargetUnreachableError';
}

/** The target answered, and doesn't take the login. Trying again changes nothing. */
export class CredentialRefusedError extends Error {
  override readonly name = 'CredentialRefusedError';
}

/** The target takes the login, but it can't do what its agent does: its grants or its group are broken. */
export class GrantsMissingError extends Error {
  override readonly name = 'GrantsMissingError';
}

/** The secret asks for power over what its own login doesn't prove to be its own. Look at who may write the secret. */
export class ConfusedDeputyError extends Error {
  override readonly name = 'ConfusedDeputyError';
}

/** The login that would be the twin exists, and nothing shows that it is this agent's. Rename one of the two. */
export class AlternateTakenError extends Error {
  override readonly name = 'AlternateTakenError';
}

/** The login is another rotation's, which began later or has moved AWSCURRENT to it: this one must not take it away. Rotate again. */
export class OvertakenError extends Error {
  override readonly name = 'OvertakenError';
}

/** The admin login may not do what a rotation needs. Grant it. */
export class AdminPrivilegeError extends Error {
  override readonly name = 'AdminPrivilegeError';
}

/** The target refused a statement for another reason; `code` is its own, an SQLSTATE for a database. */
export class TargetFailedError extends Error {
  override readonly name = 'TargetFailedError';
  readonly code: string;
  constructor(message: string, code: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}
