/** The error codes with which Secrets Manager answers, spelled as its API spells them. */
export type ErrorCode =
  | 'AccessDeniedException'
  | 'DecryptionFailure'
  | 'InternalServiceError'
  | 'InvalidNextTokenException'
  | 'InvalidParameterException'
  | 'InvalidRequestException'
  | 'LimitExceededException'
  | 'MalformedPolicyDocumentException'
  | 'ResourceExistsException'
  | 'ResourceNotFoundException'
  | 'SerializationException'
  | 'UnknownOperationException'
  | 'ValidationException';

/** A refusal by Secrets Manager: `code` is what botocore and the SDKs show as the error's name. */
export class SecretsManagerError extends Error {
  override name = 'SecretsManagerError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  /** Secrets Manager answers 400 to everything but its own faults. */
  get status(): number {
    return this.code === 'InternalServiceError' ? 500 : 400;
  }
}

export const notFound = () =>
  new SecretsManagerError('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");

export const valueNotFound = (what: string) =>
  new SecretsManagerError(
    'ResourceNotFoundException',
    `Secrets Manager can't find the specified secret value for ${what}`,
  );

export const exists = (message: string) => new SecretsManagerError('ResourceExistsException', message);

export const invalidParameter = (message: string) =>
  new SecretsManagerError('InvalidParameterException', message);

export const invalidRequest = (message: string) =>
  new SecretsManagerError('InvalidRequestException', message);
