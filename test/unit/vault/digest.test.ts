import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSameJson, mirrorDigest } from '../../../shared/vault/digest.ts';

const digest = mirrorDigest(Buffer.from('one key'));
const value = fc.dictionary(fc.string(), fc.jsonValue());
const reversed = (object: Record<string, unknown>) => Object.fromEntries(Object.entries(object).toReversed());

describe('the digest of a mirror', () => {
  it('is the same for a value that was stored, read back, and has its fields in another order', () => {
    fc.assert(
      fc.property(value, (held) => {
        const given: Record<string, unknown> = JSON.parse(JSON.stringify(held));
        expect(digest.verify(digest.of('arn', 'v1', held), 'arn', 'v1', reversed(given))).toBe('same');
      }),
    );
  });

  it('differs for another value, another version and another secret', () => {
    fc.assert(
      fc.property(value, value, (one, other) => {
        const made = digest.of('arn', 'v1', one);
        if (!isSameJson(one, other)) expect(digest.verify(made, 'arn', 'v1', other)).toBe('different');
        expect(digest.verify(made, 'arn', 'v2', one)).toBe('different');
        expect(digest.verify(made, 'arn2', 'v1', one)).toBe('different');
      }),
    );
  });

  it('tells a list from an object that looks like one', () => {
    expect(isSameJson({ a: ['x'] }, { a: { 0: 'x' } })).toBe(false);
    expect(isSameJson({ a: [['b', 1]] }, { a: { b: 1 } })).toBe(false);
  });

  it.each([undefined, '', 'nonsense', mirrorDigest(Buffer.from('another key')).of('arn', 'v1', {})])(
    'says nothing where it is missing or of another key: %s',
    (made) => {
      expect(digest.verify(made, 'arn', 'v1', {})).toBe('unknown');
    },
  );

  it('is taken for different where only its key id is right', () => {
    const [keyId] = digest.of('arn', 'v1', {}).split(':');
    expect(digest.verify(`${keyId}:00`, 'arn', 'v1', {})).toBe('different');
  });
});
