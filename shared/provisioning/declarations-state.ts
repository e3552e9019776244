import { ConditionalCheckFailedException, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  DeleteCommand,
  DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  paginateScan,
} from '@aws-sdk/lib-dynamodb';
import * as z from 'zod';
import { calledAws } from '../aws/errors.ts';
import { type Declaration, declaration } from './declaration.ts';

/** What an agent was declared to be, at the last `apply`: what is, is compared against it. It holds no secret. */
export interface AppliedDeclaration {
  readonly declaration: Declaration;
  /** `ending`: the agent is being deprovisioned. Nothing of it is repaired from then on. */
  readonly phase: 'declared' | 'ending';
}

/** One as it was read: what the next write has to follow. */
export interface KnownDeclaration extends AppliedDeclaration {
  /** Given back with a write, which fails where another run wrote since. 0: there is none yet. */
  readonly revision: number;
}

/** Another run wrote the same agent's declaration since it was read. Plan again. */
export class DeclarationContendedError extends Error {
  override readonly name = 'DeclarationContendedError';
}

/** The declarations that were applied, by agent. */
export interface AppliedDeclarations {
  read(agentId: string): Promise<KnownDeclaration | undefined>;
  /** @throws DeclarationContendedError */
  write(next: KnownDeclaration): Promise<void>;
  forget(agentId: string): Promise<void>;
  /** All of them. `unreadable`: agents whose record is of another version of Keyturn; one of those must not hide the rest. */
  list(): Promise<{ readonly known: readonly KnownDeclaration[]; readonly unreadable: readonly string[] }>;
}

const record = z.object({ revision: z.number(), phase: z.enum(['declared', 'ending']), declaration });

/**
 * The applied declarations, in a table of their own. What stands here is carried out in databases as their admin, so no function
 * may write it; and a list of all reads nothing but them, however many adoptions are kept.
 */
export function declarationsState(dynamo: DynamoDBClient, table: string): AppliedDeclarations {
  const documents = DynamoDBDocumentClient.from(dynamo, { marshallOptions: { removeUndefinedValues: true } });
  const keyOf = (agentId: string) => ({ agentId });
  return {
    async read(agentId) {
      const { Item } = await calledAws('dynamodb:GetItem', () =>
        documents.send(new GetCommand({ TableName: table, Key: keyOf(agentId), ConsistentRead: true })),
      );
      return Item && record.parse(Item);
    },
    async write({ revision, phase, declaration: declared }) {
      const isFirst = await calledAws('dynamodb:PutItem', async () => {
        try {
          await documents.send(
            new PutCommand({
              TableName: table,
              Item: { ...keyOf(declared.agentId), revision: revision + 1, phase, declaration: declared },
              ConditionExpression: 'attribute_not_exists(agentId) OR revision = :read',
              ExpressionAttributeValues: { ':read': revision },
            }),
          );
          return true;
        } catch (error) {
          if (error instanceof ConditionalCheckFailedException) return false;
          throw error;
        }
      });
      if (!isFirst)
        throw new DeclarationContendedError(
          `Another run has just changed what ${declared.agentId} is declared to be: try again`,
        );
    },
    async forget(agentId) {
      await calledAws('dynamodb:DeleteItem', () =>
        documents.send(new DeleteCommand({ TableName: table, Key: keyOf(agentId) })),
      );
    },
    async list() {
      return calledAws('dynamodb:Scan', async () => {
        const known: KnownDeclaration[] = [];
        const unreadable: string[] = [];
        const pages = paginateScan({ client: documents }, { TableName: table, ConsistentRead: true });
        for await (const { Items = [] } of pages) {
          for (const item of Items) {
            const read = record.safeParse(item);
            if (read.success) known.push(read.data);
            else unreadable.push(String(item.agentId));
          }
        }
        return { known, unreadable };
      });
    },
  };
}
