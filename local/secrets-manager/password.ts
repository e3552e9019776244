/** GetRandomPassword: a password from the operating system's random numbers, by AWS's character classes. */
import { randomInt } from 'node:crypto';
import { invalidParameter, invalidRequest } from './errors.ts';
import type { Request } from './requests.ts';

const LOWERCASE = 'abcdefghijklmnopqrstuvwxyz';
const NUMBERS = '0123456789';
const PUNCTUATION = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';

/**
 * Each included class is present, unless RequireEachIncludedType is false.
 *
 * @example randomPassword({ PasswordLength: 32, ExcludeCharacters: '/@"\'\\' })
 */
export function randomPassword(request: Request<'GetRandomPassword'>): string {
  const { PasswordLength: length = 32, ExcludeCharacters: excluded = '' } = request;
  const classes = [
    request.ExcludeLowercase ? '' : LOWERCASE,
    request.ExcludeUppercase ? '' : LOWERCASE.toUpperCase(),
    request.ExcludeNumbers ? '' : NUMBERS,
    request.ExcludePunctuation ? '' : PUNCTUATION,
    request.IncludeSpace ? ' ' : '',
  ]
    .map((characters) => [...characters].filter((character) => !excluded.includes(character)))
    .filter((characters) => characters.length > 0);
  const everything = classes.flat();
  if (everything.length === 0) {
    throw invalidRequest('No characters are left to generate a password from.');
  }
  const required = (request.RequireEachIncludedType ?? true) ? classes.map(oneOf) : [];
  if (required.length > length) {
    throw invalidParameter(
      `The password length ${length} is too short to include one of each of ${required.length} character types.`,
    );
  }
  const rest = Array.from({ length: length - required.length }, () => oneOf(everything));
  return shuffled([...required, ...rest]).join('');
}

function oneOf(characters: readonly string[]): string {
  return characters[randomInt(characters.length)] ?? '';
}

/** Fisher-Yates, so that the required characters don't stand at known places. */
function shuffled(characters: string[]): string[] {
  for (let last = characters.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [characters[last], characters[other]] = [characters[other] ?? '', characters[last] ?? ''];
  }
  return characters;
}
