import { expect, it } from 'vitest';
import { generatePassword } from '../../shared/credential/password.ts';

const passwords = Array.from({ length: 20_000 }, () => generatePassword());

/** Pearson's chi-square of counts against their expected values. */
const chiSquare = (counts: readonly number[], expected: number) =>
  counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
/** What chi-square exceeds once in a million runs (Wilson and Hilferty): a bias of a few percent is far beyond it. */
const limit = (freedom: number) =>
  freedom * (1 - 2 / (9 * freedom) + 4.753 * Math.sqrt(2 / (9 * freedom))) ** 3;
const tally = (items: Iterable<string>) => {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
};

const alphabet = [...new Set(passwords.join(''))];

it('a password has at least 200 bits, and none comes twice', () => {
  expect(32 * Math.log2(alphabet.length)).toBeGreaterThan(200);
  expect(new Set(passwords).size).toBe(passwords.length);
});

it('every kind of character is as likely at the first place as at the last', () => {
  for (const at of [0, 1, 15, 30, 31]) {
    const counts = tally(passwords.map((password) => password[at] ?? ''));
    const kinds = ['0123456789', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'];
    for (const kind of kinds) {
      const ofKind = [...kind].map((character) => counts.get(character) ?? 0);
      const mean = ofKind.reduce((sum, count) => sum + count, 0) / kind.length;
      expect(chiSquare(ofKind, mean)).toBeLessThan(limit(kind.length - 1));
    }
  }
});

/**
 * Passwords without a character of each class are drawn again, which makes the small class likelier by a hair: digits by
 * 1.7 % here. Within a class nothing may differ.
 */
it('within its class, no character is likelier than another', () => {
  const counts = tally(passwords.join(''));
  const classes = [/[0-9]/, /[A-Z]/, /[a-z]/, /[^0-9A-Za-z]/].map((kind) =>
    alphabet.filter((one) => kind.test(one)),
  );
  for (const members of classes) {
    const ofClass = members.map((one) => counts.get(one) ?? 0);
    const mean = ofClass.reduce((sum, count) => sum + count, 0) / members.length;
    expect(chiSquare(ofClass, mean)).toBeLessThan(limit(members.length - 1));
    expect(mean).toBeGreaterThan(((32 * passwords.length) / alphabet.length) * 0.97);
  }
});

it('no character tells of the next one', () => {
  const kind = (character: string) => (/[a-z]/.test(character) ? 'lower' : 'other');
  const pairs = tally(
    passwords.flatMap((password) =>
      [...password].slice(1).map((next, at) => `${kind(password[at] ?? '')} ${kind(next)}`),
    ),
  );
  const total = [...pairs.values()].reduce((sum, count) => sum + count, 0);
  const lower = ((pairs.get('lower lower') ?? 0) + (pairs.get('lower other') ?? 0)) / total;
  const after =
    (pairs.get('lower lower') ?? 0) / ((pairs.get('lower lower') ?? 0) + (pairs.get('lower other') ?? 0));
  // Whole passwords are drawn until one has every class: that ties neighbours by far less than this.
  expect(Math.abs(after - lower)).toBeLessThan(0.01);
});
