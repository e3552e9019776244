import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { InvalidSecretError } from '../../credential/errors.ts';
import type { SecretValue } from '../../credential/secret-value.ts';

/** PostgreSQL's own default (scram_iterations). */
const iterations = 4_096;

/**
 * What PostgreSQL stores instead of a password (RFC 5802, RFC 7677). Sent in place of the password, it keeps the password
 * out of statement logs: a verifier can check a login, and can't log in.
 *
 * The password must be ASCII, as those of generatePassword are: SASLprep is the identity there.
 *
 * @throws InvalidSecretError where it isn't, as one that was put by hand may not be
 */
export function scramVerifier(password: SecretValue, salt: Buffer = randomBytes(16)): string {
  const text = password.reveal();
  if (!/^[\x20-\x7e]+$/.test(text)) {
    throw new InvalidSecretError('password', 'printable ASCII characters, and no others');
  }
  const salted = pbkdf2Sync(text, salt, iterations, 32, 'sha256');
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64');
  const serverKey = hmac(salted, 'Server Key').toString('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

function hmac(key: Buffer, message: string): Buffer {
  return createHmac('sha256', key).update(message).digest();
}
