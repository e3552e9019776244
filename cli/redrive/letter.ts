import type { Message } from '@aws-sdk/client-sqs';
import * as z from 'zod';
import { parsedJson } from '../../shared/parsed-json.ts';

/** A delivery that was given up: whom it was for, and what it said. */
export interface Letter {
  readonly functionName: string;
  readonly payload: string;
  /** Why it was given up, as AWS says. */
  readonly cause: string;
}

/** What Lambda puts into the queue of an asynchronous call that failed each time. */
const failedCall = z.object({
  requestContext: z.object({ functionArn: z.string(), condition: z.string() }),
  requestPayload: z.unknown(),
});

/**
 * EventBridge and its Scheduler say in attributes whom a message was for, and its body is what they would have delivered;
 * Lambda wraps the payload. Undefined: none of these, or not for a function.
 */
export function letterOf({ Body = '', MessageAttributes = {} }: Message): Letter | undefined {
  const { TARGET_ARN, ERROR_CODE } = MessageAttributes;
  if (TARGET_ARN?.StringValue !== undefined) {
    const functionName = functionIn(TARGET_ARN.StringValue);
    return functionName === undefined
      ? undefined
      : { functionName, payload: Body, cause: ERROR_CODE?.StringValue ?? 'unknown' };
  }
  const { data } = failedCall.safeParse(parsedJson(Body));
  const functionName = functionIn(data?.requestContext.functionArn ?? '');
  if (data === undefined || functionName === undefined) return undefined;
  return {
    functionName,
    payload: JSON.stringify(data.requestPayload ?? null),
    cause: data.requestContext.condition,
  };
}

/** @example functionIn('arn:aws:lambda:eu-central-1:123456789012:function:keyturn-dev-one:$LATEST') // 'keyturn-dev-one' */
const functionIn = (arn: string): string | undefined =>
  /^arn:[^:]+:lambda:[^:]*:\d*:function:([\w-]+)/.exec(arn)?.[1];
