import { inspect } from 'node:util';
import {
  DecryptionFailure,
  GetSecretValueCommand,
  InternalServiceError,
  InvalidRequestException,
  ResourceNotFoundException,
  SecretsManagerClient,
  SecretsManagerServiceException,
} from '@aws-sdk/client-secrets-manager';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import {
  SecretDeniedError,
  SecretMalformedError,
  SecretNotFoundError,
  SourceUnreachableError,
} from '../../../agent/errors.ts';
import { agentSecretsManager, secretsManagerSource } from '../../../agent/secrets-manager-source.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { secret, versionIdOf } from './setting.ts';

const value = { engine: 'postgres', host: 'db', password: 'hunter2', nested: { keys: ['k-1'] }, port: 5432 };
const text = JSON.stringify(value);
const secretsManager = mockClient(SecretsManagerClient);
afterAll(() => secretsManager.restore());
const client = agentSecretsManager({ region: 'eu-central-1' });
const source = secretsManagerSource(client);

beforeEach(() => {
  secretsManager.reset();
});

function answering(SecretString?: string) {
  secretsManager.on(GetSecretValueCommand).resolves({
    VersionId: versionIdOf(1),
    CreatedDate: new Date(1_000),
    VersionStages: ['AWSCURRENT'],
    ...(SecretString !== undefined && { SecretString }),
  });
}

describe('a read', () => {
  test('gives the version, its labels and its fields, every string wrapped that is not known to be plain', async () => {
    answering(text);
    const version = await source.fetch(secret);
    expect(version).toMatchObject({ versionId: versionIdOf(1), createdAt: 1_000, stages: ['AWSCURRENT'] });
    expect(version.value.reveal()).toBe(text);
    expect(version.fields).toMatchObject({ engine: 'postgres', host: 'db', port: 5432 });
    const { password } = version.fields;
    expect(password instanceof SecretValue && password.reveal()).toBe('hunter2');
    for (const shown of [inspect(version, { depth: 9, showHidden: true }), JSON.stringify(version)]) {
      expect(shown).not.toMatch(/hunter2|k-1/);
    }
  });

  test('asks for the version in force, or for one by its id', async () => {
    answering(text);
    await source.fetch(secret);
    await source.fetch(secret, { versionId: versionIdOf(1) });
    expect(secretsManager.commandCalls(GetSecretValueCommand).map(({ args }) => args[0].input)).toEqual([
      { SecretId: secret },
      { SecretId: secret, VersionId: versionIdOf(1) },
    ]);
  });

  test('says in CloudTrail that it is an agent', () => {
    expect(client.config.customUserAgent).toEqual([['keyturn/agent']]);
  });

  test('gives what no caller can change for another', async () => {
    answering(text);
    const { fields } = await source.fetch(secret);
    expect(Object.isFrozen(fields) && Object.isFrozen(fields.nested)).toBe(true);
  });
});

describe('a failure', () => {
  const details = { message: 'the message', $metadata: {} };
  const named = (name: string, httpStatusCode: number) =>
    new SecretsManagerServiceException({
      name,
      $fault: 'client',
      message: name,
      $metadata: { httpStatusCode },
    });

  test.each([
    ['a secret that is not there', new ResourceNotFoundException(details), SecretNotFoundError],
    ['a secret that is being deleted', new InvalidRequestException(details), SecretNotFoundError],
    ['what is no name', named('ValidationException', 400), SecretNotFoundError],
    ['what is no version of it', named('InvalidParameterException', 400), SecretNotFoundError],
    ['a key that may not be used', new DecryptionFailure(details), SecretDeniedError],
    ['a policy that forbids it', named('AccessDeniedException', 400), SecretDeniedError],
    ['any other refusal', named('SomethingForbidden', 403), SecretDeniedError],
    ['throttling', named('ThrottlingException', 400), SourceUnreachableError],
    ['a session that ended', named('ExpiredTokenException', 403), SourceUnreachableError],
    ['a fault of the service', new InternalServiceError(details), SourceUnreachableError],
    ['no connection', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), SourceUnreachableError],
  ])('by %s is told apart, and carries nothing of the request', async (_what, failure, expected) => {
    secretsManager.on(GetSecretValueCommand).rejects(failure);
    const error: unknown = await source.fetch(secret).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(expected);
    expect(Object.getOwnPropertyNames(error).toSorted()).toEqual(['message', 'name', 'stack']);
  });

  test.each([
    ['no JSON', 'hunter2 {'],
    ['a list', '["hunter2"]'],
    ['a number', '42'],
    ['binary', undefined],
  ])('by a value that is %s does not quote it', async (_what, stored) => {
    answering(stored);
    const error: unknown = await source.fetch(secret).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SecretMalformedError);
    expect(inspect(error)).not.toContain('hunter2');
  });
});
