import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DescribeSecretCommand } from '@aws-sdk/client-secrets-manager';
import { stringify } from 'yaml';
import { keyturnCommand } from '../keyturn-command.ts';
import { root } from '../root.ts';
import type { Clients } from '../stack/clients.ts';
import type { Stack } from '../stack/start.ts';

export interface Agent {
  readonly id: string;
  readonly secret: string;
  readonly secretArn: string;
  readonly topicArn: string;
  readonly eventBusName: string;
  /** The table that it reads. */
  readonly table: string;
}

interface Provisioning {
  readonly graceSeconds: number;
  /** Where the agents' declarations are kept. */
  readonly folder?: string;
}

/** Where the tour keeps its agents' declarations. */
export const declarationsFolder = join(root, '.keyturn/agents');

/**
 * What a platform team does for new agents: it declares them, one file each, and `keyturn apply` makes their roles, grants,
 * secrets, rotations and policies. Their queues they make themselves.
 */
export async function provisionAgents(
  ids: readonly string[],
  stack: Stack,
  clients: Clients,
  { graceSeconds, folder = declarationsFolder }: Provisioning,
): Promise<readonly Agent[]> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const id of ids) {
    await stack.postgres.query(
      `CREATE TABLE ${tableOf(id)} (id int PRIMARY KEY); INSERT INTO ${tableOf(id)} SELECT generate_series(1, 100)`,
    );
    writeFileSync(join(folder, `${id}.yml`), stringify(declarationOf(id, stack, graceSeconds)));
  }
  await keyturnCommand(['apply', folder, '--yes', '--stage', 'local'], stack.environment);
  const { InvalidationTopicArn: topicArn = '', BusName: eventBusName = '' } = stack.outputs;
  return Promise.all(
    ids.map(async (id) => {
      const secret = `agents/${id}/credentials`;
      const { ARN: secretArn = '' } = await clients.secretsManager.send(
        new DescribeSecretCommand({ SecretId: secret }),
      );
      return { id, secret, secretArn, topicArn, eventBusName, table: tableOf(id) };
    }),
  );
}

/** As {@link provisionAgents}, for one. */
export async function provisionAgent(
  id: string,
  stack: Stack,
  clients: Clients,
  { graceSeconds }: { readonly graceSeconds: number },
): Promise<Agent> {
  const folder = join(root, '.keyturn/agents-one-by-one', id);
  const [agent] = await provisionAgents([id], stack, clients, { graceSeconds, folder });
  if (!agent) throw new Error(`${id} was not provisioned`);
  return agent;
}

const tableOf = (id: string) => `${id}_orders`;

function declarationOf(id: string, { postgres, adminSecretArn }: Stack, graceSeconds: number): object {
  return {
    agentId: id,
    grace: `${graceSeconds}s`,
    rotationDays: 30,
    mirror: true,
    postgres: {
      adminSecretArn,
      host: '127.0.0.1',
      port: postgres.port,
      ssl: false,
      database: 'postgres',
      schemas: { public: { tables: { [tableOf(id)]: ['SELECT'] } } },
    },
  };
}
