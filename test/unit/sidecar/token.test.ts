import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sidecarToken, TokenMissingError, tokenCheck } from '../../../agent/sidecar/token.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';

const file = (content: string) => {
  const path = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'token');
  writeFileSync(path, content, { mode: 0o600 });
  return pathToFileURL(path).href;
};

test('the token is what the variable holds, or what is in the file that it names', () => {
  expect(sidecarToken({ AWS_SESSION_TOKEN: 'second', AWS_TOKEN: 'first' }).reveal()).toBe('first');
  expect(sidecarToken({ AWS_CONTAINER_AUTHORIZATION_TOKEN: file('from-a-file\n') }).reveal()).toBe(
    'from-a-file',
  );
});

test.each([
  ['no variable', {}, /AWS_TOKEN/],
  ['an empty file', { AWS_TOKEN: file('\n') }, /empty/],
  ['a file that is not there', { AWS_TOKEN: 'file:///nowhere/token' }, /can't be read/],
])('%s: nothing is served, and it says what to set', (_, environment, says) => {
  expect(() => sidecarToken(environment)).toThrow(TokenMissingError);
  expect(() => sidecarToken(environment)).toThrow(says);
});

test('only the token itself passes', () => {
  const isToken = tokenCheck(SecretValue.of('the-token'));
  expect(isToken('the-token')).toBe(true);
  expect(isToken(undefined)).toBe(false);
  fc.assert(fc.property(fc.string(), (given) => isToken(given) === (given === 'the-token')));
});
