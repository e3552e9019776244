import { expect, test } from 'vitest';
import { InvalidSecretError } from '../../../shared/credential/errors.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { scramVerifier } from '../../../shared/rotators/postgres/scram.ts';

test('a verifier is the one that PostgreSQL would store (the example of RFC 7677)', () => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
  expect(scramVerifier(SecretValue.of('pencil'), salt)).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
});

test('the same password has another verifier each time, with 16 bytes of salt', () => {
  const [one, other] = [scramVerifier(SecretValue.of('pencil')), scramVerifier(SecretValue.of('pencil'))];
  expect(one).not.toBe(other);
  const [, salt = ''] = /^SCRAM-SHA-256\$4096:([^$]+)\$/.exec(one) ?? [];
  expect(Buffer.from(salt, 'base64')).toHaveLength(16);
});

test.each(['', 'pässword', 'pencil\n', '\tpencil', 'pencil\x7f'])(
  'a password that PostgreSQL would normalize before it hashes it is refused by its field: %j',
  (password) => {
    expect(() => scramVerifier(SecretValue.of(password))).toThrow(
      new InvalidSecretError('password', 'printable ASCII characters, and no others'),
    );
  },
);
