import { Readable } from 'node:stream';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import { textOf } from '../rotation/in-process.ts';
import type { Watch } from './fleet.ts';

const attributes = z.record(z.string(), z.record(z.string(), z.unknown()));
type Attributes = z.output<typeof attributes>;

/** Items by their key `id`, as DynamoDB writes them. */
export type InMemoryTable = Map<string, Attributes>;

const request = z.object({
  Key: attributes.optional(),
  Item: attributes.optional(),
  ConditionExpression: z.string().optional(),
  ExpressionAttributeValues: attributes.default({}),
});

/** The AWS SDK's own client on a table in memory, which decides on the conditions that Keyturn writes under. */
export function dynamoClientOf(table: InMemoryTable, { before, after }: Watch): DynamoDBClient {
  return new DynamoDBClient({
    region: 'eu-central-1',
    endpoint: 'http://dynamodb.example',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 2,
    requestHandler: {
      async handle({ headers, body }: { headers: Record<string, string>; body?: unknown }) {
        const operation = headers['x-amz-target']?.split('.')[1] ?? '';
        before(operation, true);
        const [statusCode, answer] = answered(table, operation, request.parse(JSON.parse(textOf(body))));
        after(operation);
        return {
          response: {
            statusCode,
            headers: { 'content-type': 'application/x-amz-json-1.0' },
            body: Readable.from([Buffer.from(JSON.stringify(answer))]),
          },
        };
      },
    },
  });
}

function answered(
  table: InMemoryTable,
  operation: string,
  { Key, Item, ConditionExpression, ExpressionAttributeValues }: z.output<typeof request>,
): [number, object] {
  if (operation === 'GetItem') return [200, { Item: table.get(idOf(Key)) }];
  if (operation !== 'PutItem') throw new Error(`${operation} is not known here`);
  const id = idOf(Item);
  if (ConditionExpression && !holds(ConditionExpression, table.get(id), ExpressionAttributeValues)) {
    const __type = 'com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException';
    return [400, { __type, message: 'The conditional request failed' }];
  }
  table.set(id, Item ?? {});
  return [200, {}];
}

const idOf = (key: Attributes | undefined): string => String(key?.id?.S);

/** Puts T or F in the place of each comparison, then works out what is left. A comparison with what isn't there is false. */
function holds(condition: string, item: Attributes | undefined, values: Attributes): boolean {
  const letter = (truth: boolean) => (truth ? 'T' : 'F');
  let text = condition
    .replaceAll(/attribute_not_exists\((\w+)\)/g, (_, name: string) => letter(item?.[name] === undefined))
    .replaceAll(/(\w+) ([<=]) (:\w+)/g, (_, name: string, sign: string, value: string) => {
      const [left, right] = [plain(item?.[name]), plain(values[value])];
      if (left === undefined || right === undefined) return 'F';
      return letter(sign === '<' ? left < right : left === right);
    });
  while (text.length > 1) {
    const next = text
      .replace(/([TF]) AND ([TF])/, (_, left, right) => letter(left + right === 'TT'))
      .replace(/\(([TF])\)/, '$1')
      .replace(/(?<!AND )([TF]) OR ([TF])(?! AND)/, (_, left, right) => letter(left + right !== 'FF'));
    if (next === text) throw new Error(`The condition ${condition} is not understood here`);
    text = next;
  }
  return text === 'T';
}

function plain(attribute: Readonly<Record<string, unknown>> | undefined): string | number | undefined {
  if (attribute?.N !== undefined) return Number(attribute.N);
  return attribute?.S === undefined ? undefined : String(attribute.S);
}
