import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import { planPostgres } from '../../../shared/provisioning/postgres.ts';
import { asAgent, loginOn } from '../rotation/setting.ts';
import { currentOf, databaseOn, declare, type Server, secretsFor } from './setting.ts';

export const password = 'A-first-password-1';
const schemas = {
  app: { allTables: ['SELECT'], tables: { orders: ['INSERT'] } },
};
let count = 0;

/** A declared agent with its secret, and none of its roles. `each` is told of every call of Secrets Manager. */
export async function agentOn(
  server: Server,
  rights: object = schemas,
  each: (operation: string) => void = () => undefined,
) {
  count += 1;
  const number = count;
  const database = `db${number}`;
  const query = await databaseOn(server, database);
  const { engine, client, adminSecretArn } = await secretsFor(server, each);
  const id = `billing-${number}`;
  const declaration = declare(server, id, { adminSecretArn, database, schemas: rights });
  const secret = `agents/${id}/credentials`;
  await engine.CreateSecret({
    Name: secret,
    SecretString: loginOn(server, `${id}_a`, password, { dbname: database, masterarn: adminSecretArn })
      .serialize()
      .reveal(),
    Tags: [
      { Key: 'agent_id', Value: id },
      { Key: 'managed_by', Value: 'agent-platform' },
    ],
  });
  const plan = (of: Declaration = declaration) => planPostgres(of, { secretsManager: client });
  const apply = async (of: Declaration = declaration) => {
    for (const change of await plan(of)) await change.apply();
  };
  const as = async (...statements: string[]) => asAgent(await currentOf(engine, secret), ...statements);
  return {
    id,
    number,
    database,
    declaration,
    secret,
    engine,
    client,
    query,
    plan,
    apply,
    as,
    adminSecretArn,
  };
}
