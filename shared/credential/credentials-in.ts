import type { IsAdminSecret } from './admin-secrets.ts';
import { AdminSecretNotAllowedError, InvalidSecretError } from './errors.ts';
import type { SecretJson } from './secret-json.ts';

/** A credential in a secret: the whole of it, or one of its fields. */
export interface CredentialEntry {
  /** Undefined where the secret itself is the credential. */
  readonly field: string | undefined;
  readonly engine: string;
  readonly credential: SecretJson;
}

/**
 * The credentials that a secret holds: itself where it has an `engine`, and each field whose value is an object that has one.
 * They rotate together, as one version. Every other field is static.
 *
 * @throws InvalidSecretError where it holds none.
 */
export function credentialsIn(secret: SecretJson): readonly CredentialEntry[] {
  const inFields = Object.keys(secret.reveal()).flatMap((field) => {
    const credential = secret.nested(field);
    return credential ? entry(field, credential) : [];
  });
  const found = [...entry(undefined, secret), ...inFields];
  if (found.length === 0) throw new InvalidSecretError('engine', 'the name of a database engine');
  return found;
}

/** The secret with some of its credentials replaced. */
export function withCredentials(secret: SecretJson, entries: readonly CredentialEntry[]): SecretJson {
  return entries.reduce(
    (whole, { field, credential }) =>
      field === undefined ? whole.with(credential.reveal()) : whole.with({ [field]: credential }),
    secret,
  );
}

/**
 * The secret that holds the admin's credential: `masterarn`. It must be an ARN: a name could be that of another secret tomorrow.
 *
 * @throws InvalidSecretError, AdminSecretNotAllowedError
 */
export function adminArnOf(
  { field, credential }: CredentialEntry,
  isAdminSecret: IsAdminSecret,
): string | undefined {
  const { masterarn } = credential.reveal();
  if (masterarn === undefined) return undefined;
  const path = field === undefined ? 'masterarn' : `${field}.masterarn`;
  if (typeof masterarn !== 'string' || !masterarn.startsWith('arn:')) {
    throw new InvalidSecretError(path, 'the ARN of a secret');
  }
  if (!isAdminSecret(masterarn)) throw new AdminSecretNotAllowedError(path);
  return masterarn;
}

function entry(field: string | undefined, credential: SecretJson): CredentialEntry[] {
  const { engine } = credential.reveal();
  if (engine === undefined) return [];
  if (typeof engine !== 'string') {
    throw new InvalidSecretError(field === undefined ? 'engine' : `${field}.engine`, 'text');
  }
  return [{ field, engine, credential }];
}
