import type { LambdaClient } from '@aws-sdk/client-lambda';
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import pMap from 'p-map';
import { askFunction } from '../../shared/aws/ask-function.ts';
import { FunctionFailedError, FunctionNotReachedError } from '../../shared/aws/function-errors.ts';
import { letterOf } from './letter.ts';

export interface Redriven {
  readonly for: string;
  /** Why it had been given up, where the message says. */
  readonly cause: string;
  /** Kept: it is still among the dead letters. */
  readonly outcome: 'delivered' | 'kept';
  readonly why?: string;
}

/** Longer than any function of ours runs, so that nobody else is given a message that is being delivered. */
const visibilitySeconds = 900;

/**
 * Has `deliver` take each message of a queue, and deletes those that it took. Killed in between, or run by two at once, a
 * message is delivered twice, which every consumer of Keyturn takes.
 */
async function drained(
  sqs: SQSClient,
  QueueUrl: string,
  deliver: (message: Message) => Promise<Redriven>,
): Promise<readonly Redriven[]> {
  const all: Redriven[] = [];
  const kept = new Map<string, string>();
  for (;;) {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: 2,
        VisibilityTimeout: visibilitySeconds,
        MessageAttributeNames: ['All'],
      }),
    );
    const fresh = Messages.filter(({ MessageId = '' }) => !kept.has(MessageId));
    if (fresh.length === 0) break;
    const done = await pMap(
      fresh,
      async (message) => {
        const { MessageId = '', ReceiptHandle = '' } = message;
        const redriven = await deliver(message);
        if (redriven.outcome === 'kept') kept.set(MessageId, ReceiptHandle);
        else await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
        return redriven;
      },
      { concurrency: 5 },
    );
    all.push(...done);
  }
  await pMap(
    kept.values(),
    (ReceiptHandle) =>
      sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 })),
    { concurrency: 5 },
  );
  return all;
}

/**
 * Calls each function again with what it was to be called with. SQS itself moves messages back only where they came from
 * another queue (StartMessageMoveTask), and these came from rules, schedules and asynchronous calls.
 */
export const redriveCalls = (
  sqs: SQSClient,
  lambda: LambdaClient,
  queueUrl: string,
  /** The deployment's functions: whoever may write into the queue has no other called. */
  functionNames: ReadonlySet<string>,
): Promise<readonly Redriven[]> =>
  drained(sqs, queueUrl, async (message) => {
    const letter = letterOf(message);
    if (letter === undefined || !functionNames.has(letter.functionName))
      return { for: '?', cause: '?', outcome: 'kept', why: 'it names no function of this deployment' };
    const { functionName, payload, cause } = letter;
    try {
      await askFunction(lambda, functionName, JSON.parse(payload));
      return { for: functionName, cause, outcome: 'delivered' };
    } catch (error) {
      return { for: functionName, cause, outcome: 'kept', why: whyKept(error) };
    }
  });

function whyKept(error: unknown): string {
  if (error instanceof FunctionFailedError) return error.errorClass;
  return error instanceof FunctionNotReachedError ? error.code : 'its body is not JSON';
}

/** Puts each message back into the queue that it came from. */
export const redriveMessages = (
  sqs: SQSClient,
  queueUrl: string,
  to: { readonly url: string; readonly name: string },
): Promise<readonly Redriven[]> =>
  drained(sqs, queueUrl, async ({ Body: MessageBody = '' }) => {
    await sqs.send(new SendMessageCommand({ QueueUrl: to.url, MessageBody }));
    return { for: to.name, cause: 'given up after its retries', outcome: 'delivered' };
  });
