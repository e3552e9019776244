import { InvokeCommand, type LambdaClient } from '@aws-sdk/client-lambda';
import * as z from 'zod';
import { errorClassOf } from '../../shared/observability/error-class.ts';

/** A function that was asked failed, or can't be asked. Its own log says why. */
export class FunctionFailedError extends Error {
  override readonly name = 'FunctionFailedError';
  readonly errorClass: string;
  constructor(functionName: string, errorClass: string) {
    super(`${functionName} failed: ${errorClass}`);
    this.errorClass = errorClass;
  }
}

const failure = z.object({ errorType: z.string().regex(/^[\w.]{1,64}$/) });

/**
 * Calls a function and waits for its answer. Of an error only its class is read: the message is for that function's log.
 *
 * @throws FunctionFailedError
 */
export async function ask(client: LambdaClient, functionName: string, event: unknown): Promise<unknown> {
  const { FunctionError, Payload } = await client
    .send(new InvokeCommand({ FunctionName: functionName, Payload: JSON.stringify(event) }))
    .catch((error: unknown) => {
      throw new FunctionFailedError(functionName, errorClassOf(error));
    });
  const answer: unknown = JSON.parse(Payload?.transformToString() || 'null');
  if (FunctionError === undefined) return answer;
  const failed = failure.safeParse(answer);
  throw new FunctionFailedError(functionName, failed.data?.errorType ?? 'UnknownError');
}
