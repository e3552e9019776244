import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { mockClient } from 'aws-sdk-client-mock';
import { afterEach, expect, it } from 'vitest';
import { redriveCalls, redriveMessages } from '../../../cli/redrive/redrive.ts';

const config = { region: 'eu-central-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } };
const [sqsClient, lambdaClient] = [new SQSClient(config), new LambdaClient(config)];
const [sqs, lambda] = [mockClient(sqsClient), mockClient(lambdaClient)];
afterEach(() => {
  sqs.reset();
  lambda.reset();
});

const arn = (name: string) => `arn:aws:lambda:eu-central-1:123456789012:function:${name}`;
const fromRule = (id: string, target: string): Message => ({
  MessageId: id,
  ReceiptHandle: `handle-${id}`,
  Body: '{"detail":{"versionId":"v"}}',
  MessageAttributes: {
    TARGET_ARN: { DataType: 'String', StringValue: target },
    ERROR_CODE: { DataType: 'String', StringValue: 'NO_PERMISSIONS' },
  },
});
const fromLambda: Message = {
  MessageId: 'b',
  ReceiptHandle: 'handle-b',
  Body: JSON.stringify({
    version: '1.0',
    requestContext: { functionArn: `${arn('keyturn-dev-revoke')}:$LATEST`, condition: 'RetriesExhausted' },
    requestPayload: { rotationId: 'r' },
    responsePayload: { errorMessage: 'may hold anything' },
  }),
};
const holding = (...messages: Message[]) =>
  sqs.on(ReceiveMessageCommand).resolvesOnce({ Messages: messages }).resolves({});
/** As the SDK gives a payload. */
const answered = (text: string) =>
  Object.assign(new TextEncoder().encode(text), { transformToString: () => text });
const run = () =>
  redriveCalls(
    sqsClient,
    lambdaClient,
    'https://dead',
    new Set(['keyturn-dev-notify', 'keyturn-dev-revoke']),
  );

it("calls a rule's and an asynchronous call's function again with what it was to be told, then deletes the message", async () => {
  holding(fromRule('a', arn('keyturn-dev-notify')), fromLambda);
  lambda.on(InvokeCommand).resolves({ Payload: answered('null') });
  expect(await run()).toEqual([
    { for: 'keyturn-dev-notify', cause: 'NO_PERMISSIONS', outcome: 'delivered' },
    { for: 'keyturn-dev-revoke', cause: 'RetriesExhausted', outcome: 'delivered' },
  ]);
  expect(lambda.commandCalls(InvokeCommand).map(({ args }) => args[0].input)).toEqual([
    { FunctionName: 'keyturn-dev-notify', Payload: '{"detail":{"versionId":"v"}}' },
    { FunctionName: 'keyturn-dev-revoke', Payload: '{"rotationId":"r"}' },
  ]);
  expect(sqs.commandCalls(DeleteMessageCommand)).toHaveLength(2);
});

it("keeps what fails again, for the next time, and says why without the function's words", async () => {
  holding(fromLambda);
  lambda.on(InvokeCommand).resolves({
    FunctionError: 'Unhandled',
    Payload: answered('{"errorType":"TargetUnreachableError","errorMessage":"may hold anything"}'),
  });
  expect(await run()).toEqual([
    { for: 'keyturn-dev-revoke', cause: 'RetriesExhausted', outcome: 'kept', why: 'TargetUnreachableError' },
  ]);
  expect(sqs.commandCalls(DeleteMessageCommand)).toEqual([]);
  const [visible] = sqs.commandCalls(ChangeMessageVisibilityCommand);
  expect(visible?.args[0].input).toMatchObject({ ReceiptHandle: 'handle-b', VisibilityTimeout: 0 });
});

it('calls no function of another deployment, whatever a message says', async () => {
  holding(fromRule('a', arn('payroll')), { MessageId: 'c', ReceiptHandle: 'handle-c', Body: 'no JSON' });
  expect((await run()).map(({ outcome }) => outcome)).toEqual(['kept', 'kept']);
  expect(lambda.calls()).toEqual([]);
});

it("puts a mirror's message back into its queue, before it deletes it", async () => {
  holding({ MessageId: 'd', ReceiptHandle: 'handle-d', Body: 'moved' });
  const done = await redriveMessages(sqsClient, 'https://dead', { url: 'https://mirror', name: 'mirrors' });
  expect(done.map(({ outcome }) => outcome)).toEqual(['delivered']);
  const [, sent, deleted] = sqs.calls().map(({ args }) => args[0]);
  expect(sent).toBeInstanceOf(SendMessageCommand);
  expect(sent?.input).toEqual({ QueueUrl: 'https://mirror', MessageBody: 'moved' });
  expect(deleted).toBeInstanceOf(DeleteMessageCommand);
});
