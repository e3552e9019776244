import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import { answeredBy, operationOf, textOf } from '../aws-in-process.ts';
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
    ...answeredBy((asked) => {
      const operation = operationOf(asked);
      before(operation, true);
      const [status, answer] = answered(table, operation, request.parse(JSON.parse(textOf(asked))));
      after(operation);
      const headers = { 'content-type': 'application/x-amz-json-1.0' };
      return { status, headers, text: JSON.stringify(answer) };
    }),
    endpoint: 'http://dynamodb.example',
    maxAttempts: 2,
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
