import { randomBytes } from 'node:crypto';
import { createAgentSecret } from '../../shared/provisioning/agent-secret.ts';
import type { Clients } from '../stack/clients.ts';
import type { Stack } from '../stack/start.ts';

export interface Agent {
  readonly id: string;
  readonly secret: string;
  readonly secretArn: string;
  readonly topicArn: string;
  readonly eventBusName: string;
  /** Its table, which its group owns. */
  readonly table: string;
}

/** What a platform team does for a new agent: its roles and grants, its secret with rotation on. Its queue it makes itself. */
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

  const secret = `agents/${id}/credentials`;
  const { arn: secretArn } = await createAgentSecret(
    id,
    {
      engine: 'postgres',
      host: '127.0.0.1',
      port: postgres.port,
      dbname: 'postgres',
      username: `${id}_a`,
      password,
      masterarn: adminSecretArn,
      ssl: false,
    },
    {
      client: clients.secretsManager,
      rotationDays: 30,
      rotationFunctionArn: outputs.RotateSecretFunctionArn ?? '',
      kmsKeyId: outputs.SecretsKeyArn ?? '',
      tags: { 'keyturn:grace': `${graceSeconds}s`, 'keyturn:mirror': secret },
    },
  );
  const { InvalidationTopicArn: topicArn = '', BusName: eventBusName = '' } = outputs;
  return { id, secret, secretArn, topicArn, eventBusName, table };
}
