import { ConditionalCheckFailedException, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, PutCommand } from '@aws-sdk/lib-dynamodb';
import * as z from 'zod';
import { calledAws } from '../aws/errors.ts';

/** The version of a secret that an agent instance said last that it uses. */
export interface KeptAdoption {
  readonly secretArn: string;
  readonly agentInstanceId: string;
  readonly versionId: string;
  readonly adoptedAt: string;
}

export interface Adoptions {
  /** False where what is kept is as new or newer. */
  keep(adoption: KeptAdoption): Promise<boolean>;
}

/**
 * Longer than AWS's usual longest rotation: an instance speaks once a version, and must not be forgotten while it lives.
 * One that is gone is forgotten after it.
 */
const keptForMs = 100 * 86_400_000;

export const adoptionPrefix = 'adoption#';

/** How an item of the state table says it, under `adoption#{secretArn}#{agentInstanceId}`. */
export const keptAdoption = z.object({
  secretArn: z.string(),
  agentInstanceId: z.string(),
  versionId: z.string(),
  adoptedAt: z.string(),
});

/**
 * What instances adopted, in the state table. One write that the table decides on: the latest adoption stays, of two at the
 * same instant the greater version id, so that repeats, whatever their order, end in the same record.
 */
export function adoptionsIn(dynamo: DynamoDBClient, table: string): Adoptions {
  const documents = DynamoDBDocumentClient.from(dynamo);
  return {
    async keep({ secretArn, agentInstanceId, versionId, adoptedAt }) {
      // Instants of one length, so that the table can compare them as text.
      const at = new Date(adoptedAt).toISOString();
      return calledAws('dynamodb:PutItem', async () => {
        try {
          await documents.send(
            new PutCommand({
              TableName: table,
              Item: {
                id: `${adoptionPrefix}${secretArn}#${agentInstanceId}`,
                secretArn,
                agentInstanceId,
                versionId,
                adoptedAt: at,
                expiresAt: Math.ceil((Date.parse(at) + keptForMs) / 1_000),
              },
              ConditionExpression:
                'attribute_not_exists(id) OR adoptedAt < :at OR (adoptedAt = :at AND versionId < :version)',
              ExpressionAttributeValues: { ':at': at, ':version': versionId },
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
