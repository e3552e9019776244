import { ConditionalCheckFailedException, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, PutCommand } from '@aws-sdk/lib-dynamodb';
import * as z from 'zod';

const record = z.object({
  revision: z.number(),
  lastRunId: z.string(),
  health: z.object({
    state: z.enum(['healthy', 'degraded', 'unhealthy']),
    recent: z.array(z.object({ ok: z.boolean(), at: z.string() })).readonly(),
    since: z.string().exactOptional(),
  }),
  /** Alerts that SNS has not confirmed. */
  outbox: z.array(z.object({ kind: z.enum(['opened', 'recovered']), since: z.string(), at: z.string() })),
  /** Until then, the outbox is the business of the run that wrote it. Epoch milliseconds. */
  claimedUntil: z.number(),
});
export type HealthRecord = z.infer<typeof record>;

export interface HealthState {
  read(backend: string): Promise<HealthRecord | undefined>;
  /** Writes as the revision after the record's own. False where another run was first. */
  write(backend: string, next: HealthRecord): Promise<boolean>;
}

/** Health in the state table, under `health#{backend}`. */
export function healthState(dynamo: DynamoDBClient, table: string): HealthState {
  const documents = DynamoDBDocumentClient.from(dynamo);
  const id = (backend: string) => `health#${backend}`;
  return {
    async read(backend) {
      const { Item } = await documents.send(
        new GetCommand({ TableName: table, Key: { id: id(backend) }, ConsistentRead: true }),
      );
      return Item && record.parse(Item);
    },
    async write(backend, next) {
      try {
        await documents.send(
          new PutCommand({
            TableName: table,
            Item: { ...next, id: id(backend), revision: next.revision + 1 },
            ConditionExpression: 'attribute_not_exists(id) OR revision = :read',
            ExpressionAttributeValues: { ':read': next.revision },
          }),
        );
        return true;
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) return false;
        throw error;
      }
    },
  };
}
