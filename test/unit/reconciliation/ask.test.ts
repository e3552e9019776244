import { Readable } from 'node:stream';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { describe, expect, it } from 'vitest';
import { ask } from '../../../functions/reconcile-fleet/ask.ts';
import { askedFunctions } from '../../../functions/reconcile-fleet/ask-functions.ts';

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
const functions = { rotate: 'rotate-secret', revoke: 'revoke-superseded' };

describe('a function that is asked', () => {
  it('gives its answer, or none', async () => {
    expect(await ask(lambda('{"a":1}'), 'f', {})).toEqual({ a: 1 });
    expect(await ask(lambda(''), 'f', {})).toBeNull();
  });

  it('and fails is told by the class of its error, never by the message', async () => {
    const body = JSON.stringify({ errorType: 'AlternateTakenError', errorMessage: 'hunter2' });
    const error: unknown = await ask(lambda(body, failed), 'f', {}).catch((thrown: unknown) => thrown);
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
    await expect(ask(refused, 'f', {})).rejects.toThrow(/AccessDenied|f failed/);
    await expect(ask(refused, 'f', {})).rejects.not.toThrow(/hunter2/);
  });

  it('and answers what no revocation answers is an error', async () => {
    const ended = {
      secretArn: 'arn',
      supersededVersionId: 'old',
      currentVersionId: 'new',
      rotationId: 'new',
      graceEndsAt: '2026-01-01T00:00:00Z',
    };
    expect(await askedFunctions(lambda('"revoked"'), functions).revoke(ended)).toBe('revoked');
    await expect(askedFunctions(lambda('"done"'), functions).revoke(ended)).rejects.toThrow();
  });
});
