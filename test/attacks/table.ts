import { expect } from 'vitest';
import * as z from 'zod';

const attribute = z.record(z.string(), z.unknown());
const item = z.record(z.string(), attribute);
type Item = z.output<typeof item>;

/** The state table's items in DynamoDB's own form, by their id. */
export type Table = Map<string, Item>;

const text = (value: unknown) => (typeof value === 'string' ? value : '');
const of = (attributes: Item | undefined, name: string) => {
  const { S, N } = attributes?.[name] ?? {};
  return text(S ?? N);
};

/** The conditions that Keyturn writes under. Another one is an error: add it here. */
const conditions: Readonly<Record<string, (found: Item, values: Item) => boolean>> = {
  'attribute_not_exists(id) OR revision = :read': (found, values) =>
    of(found, 'revision') === of(values, ':read'),
  'attribute_not_exists(id) OR adoptedAt < :at OR (adoptedAt = :at AND versionId < :version)': (
    found,
    values,
  ) =>
    of(found, 'adoptedAt') < of(values, ':at') ||
    (of(found, 'adoptedAt') === of(values, ':at') && of(found, 'versionId') < of(values, ':version')),
};

const requests = {
  scan: z.object({ TableName: z.string() }),
  get: z.object({ Key: item }),
  put: z.object({ Item: item, ConditionExpression: z.string(), ExpressionAttributeValues: item }),
};

/** Answers as DynamoDB does, for the calls that Keyturn makes. */
export function answerOfTable(
  table: Table,
  operation: string,
  body: unknown,
): { status: number; body: string } {
  const answered = (answer: object) => ({ status: 200, body: JSON.stringify(answer) });
  if (operation === 'GetItem') {
    const { Key } = requests.get.parse(body);
    const found = table.get(of(Key, 'id'));
    return answered(found ? { Item: found } : {});
  }
  // Of the declarations, which the scenarios have none of: no function scans the state table.
  if (operation === 'Scan') {
    expect(requests.scan.parse(body).TableName).toBe('declarations');
    return answered({ Items: [] });
  }
  if (operation !== 'PutItem') throw new Error(`The table knows no ${operation}`);
  const { Item: next, ConditionExpression, ExpressionAttributeValues } = requests.put.parse(body);
  const condition = conditions[ConditionExpression];
  if (!condition) throw new Error(`The table knows no condition ${ConditionExpression}`);
  const found = table.get(of(next, 'id'));
  if (found && !condition(found, ExpressionAttributeValues)) {
    return {
      status: 400,
      body: JSON.stringify({
        __type: 'ConditionalCheckFailedException',
        message: 'The conditional request failed',
      }),
    };
  }
  table.set(of(next, 'id'), next);
  return answered({});
}
