import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pg from 'pg';
import type { Engine } from '../../../local/secrets-manager/engine.ts';
import { type Declaration, readDeclaration } from '../../../shared/provisioning/declaration.ts';
import { clientOf, rotatingEngine, witness } from '../rotation/in-process.ts';
import { adminOf, type postgresForTests, secretJson } from '../rotation/setting.ts';

export const functionArn = 'arn:aws:lambda:eu-central-1:000000000000:function:keyturn-test-rotate-secret';

export type Server = Awaited<ReturnType<typeof postgresForTests>>;

/** A database of its own for a test, with tables of an application that the agent may be let into. */
export async function databaseOn(server: Server, name: string): Promise<(sql: string) => Promise<unknown>> {
  await server.query(`CREATE DATABASE ${name}`);
  const query = queryIn(server, name);
  await query(`CREATE SCHEMA app; CREATE TABLE app.orders (id serial PRIMARY KEY, note text);
    CREATE TABLE app.customers (id int, name text); CREATE SCHEMA other; CREATE TABLE other.ledger (id int)`);
  return query;
}

function queryIn(server: Server, database: string) {
  return async (sql: string): Promise<readonly Record<string, unknown>[]> => {
    const client = new pg.Client({ connectionString: server.url.replace(/\/postgres$/, `/${database}`) });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  };
}

/** Secrets Manager in this process, with the admin's secret; rotations run rotate-secret. `each` is told of every call. */
export async function secretsFor(
  server: Server,
  each: (operation: string) => void = () => undefined,
): Promise<{ engine: Engine; client: SecretsManagerClient; adminSecretArn: string; said: string[] }> {
  const { parts, said } = witness();
  const engine = rotatingEngine({
    dependencies: (of) => ({ ...parts, secretsManager: clientOf(of) }),
  });
  const { ARN: adminSecretArn } = await engine.CreateSecret({
    Name: 'keyturn/admin/postgres',
    SecretString: adminOf(server).serialize().reveal(),
  });
  return { engine, client: clientOf(engine, each), adminSecretArn, said };
}

export function declare(
  server: Server,
  agentId: string,
  { adminSecretArn, database, schemas = {} }: { adminSecretArn: string; database: string; schemas?: object },
  more: object = {},
): Declaration {
  const { port } = server;
  const postgres = { adminSecretArn, host: '127.0.0.1', port, ssl: false, database, schemas };
  return readDeclaration({ agentId, postgres, ...more });
}

export async function currentOf(engine: Engine, SecretId: string) {
  const { SecretString = '' } = await engine.GetSecretValue({ SecretId });
  return secretJson(JSON.parse(SecretString));
}
