import { expect, test } from 'vitest';
import { dispatch } from '../../../local/secrets-manager/dispatch.ts';
import { randomPassword } from '../../../local/secrets-manager/password.ts';
import { engineUnderTest } from './engine-under-test.ts';

test('tells dates as epoch seconds and leaves absent members out', async () => {
  const { engine, clock } = engineUnderTest();
  await dispatch(engine, 'CreateSecret', { Name: 'a' });
  const seconds = clock.now().getTime() / 1000;
  expect(await dispatch(engine, 'DescribeSecret', { SecretId: 'a' })).toEqual({
    ARN: expect.any(String),
    Name: 'a',
    CreatedDate: seconds,
    LastChangedDate: seconds,
    Tags: [],
  });
  expect(await dispatch(engine, 'TagResource', { SecretId: 'a', Tags: [] })).toEqual({});
});

test.each([
  ['an unknown operation', 'toString', {}, 'UnknownOperationException'],
  ['a missing member', 'DescribeSecret', {}, 'ValidationException'],
  ['an unknown member', 'DescribeSecret', { SecretId: 'a', Secret: 'b' }, 'ValidationException'],
  ['a wrong type', 'DescribeSecret', { SecretId: 7 }, 'SerializationException'],
  ['a short token', 'RotateSecret', { SecretId: 'a', ClientRequestToken: 'short' }, 'ValidationException'],
  ['a body that is no object', 'ListSecrets', [], 'SerializationException'],
])('refuses %s', async (_what, operation, body, code) => {
  await expect(dispatch(engineUnderTest().engine, operation, body)).rejects.toMatchObject({ code });
});

test('never repeats a value that it refuses', async () => {
  const body = { Name: 'a', SecretBinary: 'canary, not base64' };
  const refused = dispatch(engineUnderTest().engine, 'CreateSecret', body);
  await expect(refused).rejects.toThrow(/SecretBinary/);
  await expect(refused).rejects.not.toThrow(/canary/);
});

test('makes passwords with each class and without the excluded characters', () => {
  for (let round = 0; round < 100; round++) {
    const password = randomPassword({ PasswordLength: 4, ExcludeCharacters: '/@"\'\\' });
    expect(password).toMatch(/^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[^\w]|.*_)[^/@"'\\]{4}$/);
  }
  expect(randomPassword({})).toHaveLength(32);
  expect(randomPassword({ ExcludePunctuation: true, ExcludeNumbers: true })).toMatch(/^[a-zA-Z]{32}$/);
});

test('refuses a password too short for its classes, or of no characters', () => {
  const refusal = (code: string) => expect.objectContaining({ code });
  expect(() => randomPassword({ PasswordLength: 3 })).toThrow(refusal('InvalidParameterException'));
  const nothing = { ExcludeLowercase: true, ExcludeUppercase: true, ExcludeNumbers: true };
  expect(() => randomPassword({ ...nothing, ExcludePunctuation: true })).toThrow(
    refusal('InvalidRequestException'),
  );
});
