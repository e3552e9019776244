import { randomBytes } from 'node:crypto';
import { CreateSecretCommand, RotateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { SubscribeCommand } from '@aws-sdk/client-sns';
import { CreateQueueCommand, GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import type { Clients } from '../stack/clients.ts';
import type { Stack } from '../stack/start.ts';
import { accountId, region } from '../stack/start.ts';

export interface Agent {
  readonly id: string;
  readonly secret: string;
  readonly secretArn: string;
  readonly queueUrl: string;
  readonly eventBusName: string;
  /** Its table, which its group owns. */
  readonly table: string;
}

/** What a platform team does for a new agent: its roles and grants, its secret with rotation on, its queue. */
export async function provisionAgent(
  id: string,
  stack: Stack,
  clients: Clients,
  { graceSeconds }: { readonly graceSeconds: number },
): Promise<Agent> {
  const { postgres, outputs, adminSecretArn } = stack;
  const password = randomBytes(24).toString('base64url');
  const table = `${id}_orders`;
  await postgres.query(`
    CREATE ROLE ${id} NOLOGIN;
    CREATE ROLE ${id}_a LOGIN PASSWORD '${password}' IN ROLE ${id};
    ALTER ROLE ${id}_a SET role = '${id}';
    CREATE TABLE ${table} (id int PRIMARY KEY);
    ALTER TABLE ${table} OWNER TO ${id};
    INSERT INTO ${table} SELECT generate_series(1, 100)`);

  const queueUrl = await invalidationQueue(id, stack, clients);
  const secret = `agents/${id}/credentials`;
  const { ARN: secretArn = '' } = await clients.secretsManager.send(
    new CreateSecretCommand({
      Name: secret,
      KmsKeyId: outputs.SecretsKeyArn,
      SecretString: JSON.stringify({
        engine: 'postgres',
        host: '127.0.0.1',
        port: postgres.port,
        dbname: 'postgres',
        username: `${id}_a`,
        password,
        masterarn: adminSecretArn,
        ssl: false,
      }),
      Tags: [
        { Key: 'agent_id', Value: id },
        { Key: 'managed_by', Value: 'agent-platform' },
        { Key: 'keyturn:grace', Value: `${graceSeconds}s` },
        { Key: 'keyturn:mirror', Value: secret },
      ],
    }),
  );
  await clients.secretsManager.send(
    new RotateSecretCommand({
      SecretId: secretArn,
      RotationLambdaARN: `arn:aws:lambda:${region}:${accountId}:function:keyturn-local-rotate-secret`,
      RotationRules: { ScheduleExpression: 'rate(30 days)' },
      RotateImmediately: false,
    }),
  );
  return { id, secret, secretArn, queueUrl, eventBusName: outputs.BusName ?? '', table };
}

/** An agent hears of its own secrets only: the topic filters by agentId. */
async function invalidationQueue(id: string, { outputs }: Stack, { sns, sqs }: Clients): Promise<string> {
  const { QueueUrl: queueUrl = '' } = await sqs.send(
    new CreateQueueCommand({ QueueName: `agent-${id}-invalidations` }),
  );
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] }),
  );
  await sns.send(
    new SubscribeCommand({
      TopicArn: outputs.InvalidationTopicArn,
      Protocol: 'sqs',
      Endpoint: Attributes?.QueueArn,
      Attributes: {
        RawMessageDelivery: 'true',
        FilterPolicyScope: 'MessageBody',
        FilterPolicy: JSON.stringify({ agentId: [id] }),
      },
    }),
  );
  return queueUrl;
}
