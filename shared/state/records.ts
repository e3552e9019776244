import { ConditionalCheckFailedException, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, PutCommand } from '@aws-sdk/lib-dynamodb';
import * as z from 'zod';
import { calledAws } from '../aws/errors.ts';

/** What is known of one thing, and the alerts about it that SNS has not confirmed. */
export interface Kept<State, Alert> {
  readonly revision: number;
  readonly state: State;
  readonly outbox: readonly Alert[];
  /** Until then, the outbox is the business of the run that wrote it. Epoch milliseconds. */
  readonly claimedUntil: number;
  /** The write that claimed it. */
  readonly claimedBy?: string | undefined;
}

export interface Records<State, Alert> {
  read(key: string): Promise<Kept<State, Alert> | undefined>;
  /** Writes as the revision after the record's own. False where another run was first. */
  write(key: string, next: Kept<State, Alert>): Promise<boolean>;
}

/** Records in the state table, under `{kind}#{key}`. */
export function recordsOf<State, Alert>(
  dynamo: DynamoDBClient,
  table: string,
  { kind, state, alert }: { kind: string; state: z.ZodType<State>; alert: z.ZodType<Alert> },
): Records<State, Alert> {
  const documents = DynamoDBDocumentClient.from(dynamo, { marshallOptions: { removeUndefinedValues: true } });
  const record = z.object({
    revision: z.number(),
    state,
    outbox: z.array(alert),
    claimedUntil: z.number(),
    claimedBy: z.string().optional(),
  });
  const id = (key: string) => `${kind}#${key}`;
  return {
    async read(key) {
      const { Item } = await calledAws('dynamodb:GetItem', () =>
        documents.send(new GetCommand({ TableName: table, Key: { id: id(key) }, ConsistentRead: true })),
      );
      return Item && record.parse(Item);
    },
    async write(key, next) {
      return calledAws('dynamodb:PutItem', async () => {
        try {
          await documents.send(
            new PutCommand({
              TableName: table,
              Item: { ...next, id: id(key), revision: next.revision + 1 },
              ConditionExpression: 'attribute_not_exists(id) OR revision = :read',
              ExpressionAttributeValues: { ':read': next.revision },
            }),
          );
          return true;
        } catch (error) {
          if (error instanceof ConditionalCheckFailedException) return false;
          throw error;
        }
      });
    },
  };
}
