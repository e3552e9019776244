/** Rotation is off for this secret: RotateSecret turns it on. */
export class RotationDisabledError extends Error {
  override readonly name = 'RotationDisabledError';
  constructor() {
    super('Rotation is not enabled for the secret: turn it on with RotateSecret');
  }
}

/** The token names no version of the secret. Secrets Manager attaches it before it calls, so the event is another secret's, or forged. */
export class UnknownVersionError extends Error {
  override readonly name = 'UnknownVersionError';
  constructor() {
    super('The ClientRequestToken names no version of the secret');
  }
}

/** The version has neither AWSPENDING nor AWSCURRENT: another rotation took over. Rotate again. */
export class NotPendingError extends Error {
  override readonly name = 'NotPendingError';
  constructor() {
    super('The version is not AWSPENDING: another rotation took over, or the event is an old one');
  }
}

/** The secret isn't one that this deployment rotates: its parameter `allowedSecrets` leaves it out. */
export class SecretNotAllowedError extends Error {
  override readonly name = 'SecretNotAllowedError';
  constructor() {
    super("The secret is not among those of the deployment's parameter allowedSecrets");
  }
}

/** There is nothing to rotate: put a first value. */
export class NoCurrentVersionError extends Error {
  override readonly name = 'NoCurrentVersionError';
  constructor(which = 'The secret') {
    super(`${which} has no AWSCURRENT version with a value: put one first`);
  }
}
