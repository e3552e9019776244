import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Redactor } from '../../../agent/redactor.ts';
import { fieldsOf } from '../../../agent/secret-version.ts';

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
