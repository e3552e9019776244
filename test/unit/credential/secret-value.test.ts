import { format, inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SecretDisposedError, SecretValue } from '../../../shared/credential/secret-value.ts';

const text = 'tr0ub4dor&3';

describe('a secret value', () => {
  const secret = SecretValue.of(text);

  test('gives its text to reveal() alone', () => {
    expect(secret.reveal()).toBe(text);
  });

  test.each([
    ['a template string', () => `${secret}`],
    ['String()', () => String(secret)],
    ['concatenation', () => ['', secret].join('')],
    ['JSON', () => JSON.stringify({ secret })],
    ['inspect, hidden fields shown', () => inspect({ secret }, { showHidden: true, depth: 9 })],
    ['format', () => format('%s %o %O %j', secret, secret, secret, secret)],
    ['an error that has it as its cause', () => inspect(new Error('refused', { cause: secret }))],
    ['its own property names', () => Object.getOwnPropertyNames(secret).join()],
    ['a spread copy', () => inspect({ ...secret })],
  ])('is redacted in %s', (_way, shown) => {
    expect(shown()).not.toContain(text);
  });

  test('says that it is a secret where a reader looks', () => {
    expect(`${secret}`).toBe('[secret]');
    expect(JSON.stringify({ secret })).toBe('{"secret":"[secret]"}');
    expect(inspect(secret)).toBe('[secret]');
  });

  test('that was lent is not cleared by who borrowed it, and is with its owner', () => {
    const owned = SecretValue.of(text);
    {
      using borrowed = owned.lent();
      using again = borrowed.lent();
      expect(again.equals(owned)).toBe(true);
    }
    const kept = owned.lent();
    const copied = kept.copy();
    expect([owned.reveal(), kept.reveal()]).toEqual([text, text]);
    owned[Symbol.dispose]();
    expect(() => kept.reveal()).toThrow(SecretDisposedError);
    expect(copied.reveal()).toBe(text);
    copied[Symbol.dispose]();
    expect(() => copied.reveal()).toThrow(SecretDisposedError);
  });

  test('equals one of the same text and no other', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        expect(SecretValue.of(one).equals(SecretValue.of(one))).toBe(true);
        expect(SecretValue.of(one).equals(SecretValue.of(other))).toBe(one === other);
      }),
    );
  });
});
