import { Readable } from 'node:stream';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { describe, expect, it } from 'vitest';
import { askedFunctions } from '../../../functions/reconcile-fleet/ask-functions.ts';
import { complete } from '../../../functions/reconcile-fleet/rotation-stuck.ts';
import { askFunction } from '../../../shared/aws/ask-function.ts';
import { fleetSecret } from '../fleet/fleet-secret.ts';

/** The SDK's client, answered as Lambda answers. */
const lambda = (body: string, { status = 200, headers = {} }: { status?: number; headers?: object } = {}) =>
  new LambdaClient({
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
    requestHandler: {
      handle: async () => ({
        response: { statusCode: status, headers: { ...headers }, body: Readable.from([Buffer.from(body)]) },
      }),
    },
  });
const failed = { headers: { 'x-amz-function-error': 'Unhandled' } };
const unreachable = new LambdaClient({
  region: 'eu-central-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  maxAttempts: 1,
  requestHandler: {
    handle: async () => {
      throw Object.assign(new Error('hunter2'), { code: 'ECONNRESET' });
    },
  },
});
const turns = { write: async () => undefined, list: async () => undefined };
const secret = fleetSecret('a', { old: ['AWSCURRENT'], new: ['AWSPENDING'] });
const stuck = { secret, versionId: 'new', since: new Date(0), createdAt: {} };
const functions = { rotate: 'rotate-secret', revoke: 'revoke-superseded' };

describe('a function that is asked', () => {
  it('gives its answer, or none', async () => {
    expect(await askFunction(lambda('{"a":1}'), 'f', {})).toEqual({ a: 1 });
    expect(await askFunction(lambda(''), 'f', {})).toBeNull();
  });

  it('and fails is told by the class of its error, never by the message', async () => {
    const body = JSON.stringify({ errorType: 'AlternateTakenError', errorMessage: 'hunter2' });
    const error: unknown = await askFunction(lambda(body, failed), 'f', {}).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: 'FunctionFailedError', errorClass: 'AlternateTakenError' });
    expect(String(error)).not.toContain('hunter2');
    expect(await askedFunctions(lambda(body, failed), functions).takeStep('setSecret', 'arn', 'token')).toBe(
      'AlternateTakenError',
    );
  });

  it('and may not be called is told as such', async () => {
    const refused = lambda('{"Message":"hunter2"}', {
      status: 403,
      headers: { 'x-amzn-errortype': 'AccessDeniedException' },
    });
    await expect(askFunction(refused, 'f', {})).rejects.toThrow(/AccessDenied|f failed/);
    await expect(askFunction(refused, 'f', {})).rejects.not.toThrow(/hunter2/);
  });

  it.each([
    ['throttled', lambda('{}', { status: 429, headers: { 'x-amzn-errortype': 'TooManyRequestsException' } })],
    ['out of order', lambda('{}', { status: 503, headers: { 'x-amzn-errortype': 'ServiceException' } })],
    [
      'being updated',
      lambda('{}', { status: 409, headers: { 'x-amzn-errortype': 'ResourceConflictException' } }),
    ],
    ['out of reach', unreachable],
  ])('but is %s leaves a stuck rotation to the next look, and needs no person', async (_, client) => {
    const parts = { ...askedFunctions(client, functions), secretsManager: new SecretsManagerClient(), turns };
    expect(await complete(stuck, parts)).toMatchObject({ outcome: 'waiting' });
  });

  it.each(['AccessDeniedException', 'ResourceNotFoundException'])(
    'and is refused with %s needs a person',
    async (type) => {
      const client = lambda('{}', { status: 404, headers: { 'x-amzn-errortype': type } });
      const parts = {
        ...askedFunctions(client, functions),
        secretsManager: new SecretsManagerClient(),
        turns,
      };
      expect(await complete(stuck, parts)).toEqual({
        outcome: 'needs a person',
        more: [`createSecret fails with ${type}`],
      });
    },
  );

  it('to revoke, and answers what no revocation answers is an error; that it failed is told by class', async () => {
    const ended = {
      secretArn: 'arn',
      supersededVersionId: 'old',
      currentVersionId: 'new',
      rotationId: 'new',
      graceEndsAt: '2026-01-01T00:00:00Z',
    };
    expect(await askedFunctions(lambda('"revoked"'), functions).revoke(ended)).toBe('revoked');
    await expect(askedFunctions(lambda('"done"'), functions).revoke(ended)).rejects.toThrow();
    const body = JSON.stringify({ errorType: 'TargetUnreachableError', errorMessage: 'hunter2' });
    expect(await askedFunctions(lambda(body, failed), functions).revoke(ended)).toEqual({
      errorClass: 'TargetUnreachableError',
    });
    expect(await askedFunctions(unreachable, functions).revoke(ended)).toEqual({
      errorClass: 'FunctionNotReachedError',
    });
  });
});
