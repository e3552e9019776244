import { timingSafeEqual } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { SecretValue } from '../../shared/credential/secret-value.ts';

/** Where the AWS Secrets Manager Agent looks for its token, in this order. */
export const TOKEN_VARIABLES = [
  'AWS_TOKEN',
  'AWS_SESSION_TOKEN',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN',
] as const;

/** There is no token to ask callers for, so nothing may be served. */
export class TokenMissingError extends Error {
  override readonly name = 'TokenMissingError';
}

/** Another user of the machine may know the token, or have chosen it. */
export class TokenNotPrivateError extends Error {
  override readonly name = 'TokenNotPrivateError';
  constructor(file: URL) {
    super(
      `The token's file ${file.pathname} is another user's too: chown it to the sidecar's user, chmod it 600 or 640`,
    );
  }
}

/**
 * The token that callers must send: the first of the variables that is set, or what is in the file that it names as
 * `file:///path`.
 *
 * @throws TokenMissingError, TokenNotPrivateError
 */
export function sidecarToken(environment: Readonly<Record<string, string | undefined>>): SecretValue {
  const variable = TOKEN_VARIABLES.find((name) => environment[name]);
  const text = variable && environment[variable];
  if (!text)
    throw new TokenMissingError(`Set ${TOKEN_VARIABLES[0]} to a token, or to file:///path/of/a/token`);
  const token = text.startsWith('file://') ? contentOf(new URL(text)) : text;
  if (token === '') throw new TokenMissingError(`The file that ${variable} names is empty`);
  return SecretValue.of(token);
}

/** The file that is looked at is the one that is read, even if another takes its name meanwhile. */
function contentOf(file: URL): string {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, 'r');
    if (!isPrivate(fstatSync(descriptor))) throw new TokenNotPrivateError(file);
    return readFileSync(descriptor, 'utf8').trim();
  } catch (error) {
    if (error instanceof TokenNotPrivateError) throw error;
    throw new TokenMissingError(`The token's file ${file.pathname} can't be read`);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/**
 * The owner's, and at most readable by a group: how AWS's agent is installed. Root may own it, as it does what is mounted into a
 * container. Windows has no such modes.
 */
function isPrivate({ mode, uid }: { mode: number; uid: number }): boolean {
  const own = process.getuid?.();
  return own === undefined || ((mode & 0o027) === 0 && (uid === own || uid === 0));
}

/** Compares what callers send with the token, in a time that doesn't tell where they differ; their lengths it may tell. */
export function tokenCheck(token: SecretValue): (given: string | undefined) => boolean {
  const expected = Buffer.from(token.reveal());
  return (given) => {
    if (given === undefined) return false;
    const bytes = Buffer.from(given);
    return bytes.length === expected.length && timingSafeEqual(bytes, expected);
  };
}
