import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Redactor } from '../../../agent/redactor.ts';
import { fieldsOf } from '../../../agent/secret-version.ts';
import { generatePassword } from '../../../shared/credential/password.ts';

function knowing(...passwords: string[]): Redactor {
  const redactor = new Redactor();
  passwords.forEach((password, number) => {
    redactor.learn('agents/billing-7/credentials', version(password, number));
  });
  return redactor;
}

function version(password: string, number = 0) {
  const fields = fieldsOf(JSON.stringify({ username: 'billing_a', nested: [{ password }] }));
  return { versionId: String(number), fields };
}

const password = 'p"a\\s/s+w&o=r%d';

test.each([
  ['as it is', password],
  ['in JSON', JSON.stringify({ url: `postgres://a:${password}@db` })],
  ['in JSON in JSON', JSON.stringify(JSON.stringify({ password }))],
  ['in a URL', `https://api.example/?key=${encodeURIComponent(password)}&x=1`],
  ['in a form', new URLSearchParams({ key: password }).toString()],
  ['in base64', Buffer.from(password).toString('base64')],
  ['in base64url', Buffer.from(password).toString('base64url')],
])('a password %s is taken out', (_, text) => {
  const redacted = knowing(password).redact(text);
  expect(redacted).toContain('[secret]');
  expect(redacted).not.toContain(password);
});

test('wherever it begins in something longer, base64 does not carry it out', () => {
  const redactor = knowing(password);
  fc.assert(
    fc.property(fc.string({ maxLength: 9 }), fc.string({ maxLength: 9 }), (before, after) => {
      const header = Buffer.from(before + password + after).toString('base64');
      // What is left at the edges is at most a byte of the password on each side.
      const left = redactor.redact(header);
      expect(left).toContain('[secret]');
      expect(left.replace('[secret]', '').length).toBeLessThanOrEqual(
        header.length - Math.floor((password.length * 8) / 6) + 2,
      );
    }),
  );
});

/** Any characters at all. fast-check's own unit `binary` takes a second to be made. */
const anyText = fc
  .array(fc.integer({ min: 0, max: 0x10_ffff }), { minLength: 6, maxLength: 40 })
  .map((points) => String.fromCodePoint(...points).toWellFormed());

test('any secret of some length is taken out, in each form', () => {
  fc.assert(
    fc.property(anyText, (value) => {
      const redactor = knowing(value);
      for (const text of [value, JSON.stringify(value), encodeURIComponent(value)]) {
        expect(redactor.redact(`a ${text} b`)).toContain('[secret]');
      }
    }),
  );
});

const hexOf = (char: string) => char.charCodeAt(0).toString(16).padStart(2, '0');
const percentEncoded = (char: string) => `%${hexOf(char).toUpperCase()}`;
const inJson = (text: string) => JSON.stringify(text).slice(1, -1);

/** What is encoded, and in which case, each does otherwise. */
test.each<[string, (password: string) => string]>([
  ['as the password of a URL', (password) => Object.assign(new URL('a://a@db'), { password }).password],
  ['as encodeURI leaves it', encodeURI],
  ['percent-encoded in lower case', (password) => password.replace(/\W/g, (char) => `%${hexOf(char)}`)],
  ['as Python quotes it', (password) => password.replace(/[^\w.~/-]/g, percentEncoded)],
  ['percent-encoded to the last letter', (password) => password.replace(/./g, percentEncoded)],
  ['in JSON for a web page', (text) => inJson(text).replace(/[<>&]/g, (char) => `\\u00${hexOf(char)}`)],
  [
    'in JSON in JSON, escaped in upper case',
    (password) => inJson(password.replace(/\W/g, (char) => `\\u00${hexOf(char).toUpperCase()}`)),
  ],
  ['in a form', (password) => new URLSearchParams({ password }).toString().slice('password='.length)],
])('no password that we make passes %s', (_, shown) => {
  for (let number = 0; number < 300; number += 1) {
    const made = generatePassword();
    expect(knowing(made).redact(`a:${shown(made)}@db`)).toBe('a:[secret]@db');
  }
});

test('any text is taken out where each of its characters is encoded in a way of its own', () => {
  const ways: ((char: string) => string)[] = [
    (char) => char,
    inJson,
    (char) => inJson(inJson(char)),
    encodeURIComponent,
    (char) => encodeURIComponent(char).toLowerCase(),
    (char) => (char === ' ' ? '+' : char),
    (char) =>
      [...char]
        .flatMap((one) => one.split(''))
        .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
        .join(''),
  ];
  const awkward = fc.constantFrom(...'\\"%+ /u25bn\n<&é€😀');
  fc.assert(
    fc.property(
      fc.array(fc.tuple(awkward, fc.nat(ways.length - 1)), { minLength: 6, maxLength: 30 }),
      (chars) => {
        const value = chars.map(([char]) => char).join('');
        const text = chars.map(([char, way]) => ways[way]?.(char) ?? char).join('');
        expect(knowing(value).redact(`[${text}]`)).toBe('[[secret]]');
      },
    ),
  );
});

test('of secrets that overlap nothing is left, and of those beside each other nothing in between', () => {
  const redactor = knowing('AAAAbbbbbb', 'bbbbbbCCCC');
  expect(redactor.redact('-AAAAbbbbbbCCCC-')).toBe('-[secret]-');
  expect(redactor.redact('AAAAbbbbbbbbbbbbCCCC')).toBe('[secret][secret]');
  expect(knowing('ababab').redact('-abababab-')).toBe('-[secret]-');
});

test('a private key is taken out whole, and a long text in which passwords nearly stand takes no long time', () => {
  const lines = Array.from({ length: 50 }, () => randomBytes(48).toString('base64'));
  const key = ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----\n'].join('\n');
  expect(knowing(key).redact(JSON.stringify({ key }))).toBe('{"key":"[secret]"}');
  const redactor = knowing('%25%25%25%25', '\\\\\\\\\\\\\\\\.');
  const nearly = '%25%25%25.'.repeat(300) + '\\'.repeat(300);
  const began = performance.now();
  expect(redactor.redact(nearly)).toBe(nearly);
  expect(performance.now() - began).toBeLessThan(5_000);
});

test('what is no secret, and what is too short to be one, stays', () => {
  const redactor = knowing('12345');
  expect(redactor.redact('billing_a has 12345 rows')).toBe('billing_a has 12345 rows');
});

test('the superseded version is known as well, and the one before', () => {
  const redactor = knowing('first-password', 'second-password', 'third-password', 'fourth-password');
  const text = 'first-password second-password third-password fourth-password';
  expect(redactor.redact(text)).toBe('first-password [secret] [secret] [secret]');
});

test('of the secrets that are held no more, as many are known as may be held, those let go last', () => {
  const redactor = new Redactor({ maxEntries: 2 });
  for (const name of ['held', 'first', 'second', 'third']) redactor.learn(name, version(`${name}-password`));
  for (const name of ['first', 'second', 'third']) redactor.release(name);
  const text = 'held-password first-password second-password third-password';
  expect(redactor.redact(text)).toBe('[secret] first-password [secret] [secret]');
});

test('versions that were read in passing push nothing out that is held', () => {
  const redactor = new Redactor({ maxEntries: 2 });
  redactor.learn('held', version('held-password', 9));
  for (const number of [1, 2, 3]) redactor.glimpse('held', version(`password-${number}`, number));
  expect(redactor.redact('held-password password-1 password-2 password-3')).toBe(
    '[secret] password-1 [secret] [secret]',
  );
});

test('a superseded version is known for as long as its secret, which may have been let go meanwhile', () => {
  const redactor = new Redactor({ maxEntries: 1 });
  redactor.learn('held', version('old-password', 1));
  redactor.learn('held', version('new-password', 2));
  for (const name of ['first', 'second']) {
    redactor.learn(name, version(`${name}-password`));
    redactor.release(name);
  }
  const text = 'old-password new-password first-password second-password';
  expect(redactor.redact(text)).toBe('[secret] [secret] first-password [secret]');
  redactor.release('held');
  redactor.learn('held', version('next-password', 3));
  expect(redactor.redact('old-password new-password next-password')).toBe('[secret] [secret] [secret]');
});
