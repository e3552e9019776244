import { InvokeCommand, type LambdaClient, LambdaServiceException } from '@aws-sdk/client-lambda';
import * as z from 'zod';
import { errorClassOf } from '../observability/error-class.ts';
import { errorCodeOf } from './errors.ts';
import { FunctionFailedError, FunctionNotReachedError, FunctionRefusedError } from './function-errors.ts';

const failure = z.object({ errorType: z.string().regex(/^[\w.]{1,64}$/) });

/**
 * Calls a function and waits for its answer. Of an error only its class is read: the message is for that function's log.
 *
 * @throws FunctionNotReachedError, FunctionFailedError, FunctionRefusedError
 */
export async function askFunction(
  client: LambdaClient,
  functionName: string,
  event: unknown,
): Promise<unknown> {
  const { FunctionError, Payload } = await client
    .send(new InvokeCommand({ FunctionName: functionName, Payload: JSON.stringify(event) }))
    .catch((error: unknown) => {
      throw isRefusal(error)
        ? new FunctionRefusedError(functionName, errorClassOf(error))
        : new FunctionNotReachedError(functionName, errorCodeOf(error));
    });
  const answer: unknown = JSON.parse(Payload?.transformToString() || 'null');
  if (FunctionError === undefined) return answer;
  const failed = failure.safeParse(answer);
  throw new FunctionFailedError(functionName, failed.data?.errorType ?? 'UnknownError');
}

/** A request that took too long, a function that is being updated, and too many requests: of Lambda's 4xx these pass. */
const passing = [408, 409, 429];

function isRefusal(error: unknown): boolean {
  if (!(error instanceof LambdaServiceException)) return false;
  const { httpStatusCode = 500 } = error.$metadata;
  return httpStatusCode >= 400 && httpStatusCode < 500 && !passing.includes(httpStatusCode);
}
