import { timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
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

/**
 * The token that callers must send: the first of the variables that is set, or what is in the file that it names as
 * `file:///path`.
 *
 * @throws TokenMissingError
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

function contentOf(file: URL): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    throw new TokenMissingError(`The token's file ${file.pathname} can't be read`);
  }
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
