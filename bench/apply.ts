import pg from 'pg';
import { plannersOf } from '../shared/provisioning/converge.ts';
import { applyPlan, planFleet } from '../shared/provisioning/plan.ts';
import { databaseOn, declare, functionArn, secretsFor } from '../test/integration/provisioning/setting.ts';
import { postgresForTests } from '../test/integration/rotation/setting.ts';
import { inMemoryDeclarations } from '../test/unit/provisioning/in-memory-declarations.ts';
import type { Figure } from './figure.ts';

const agentCount = 20;
const isRead = (operation: string) => /^(Describe|Get|List|BatchGet)/.test(operation);
const isWrite = (sql: string) => /^(CREATE|ALTER|GRANT|REVOKE|COMMENT ON|DROP|REASSIGN)/.test(sql);

/** `keyturn apply` for twenty agents on a real PostgreSQL, and again when nothing is to be done: what it writes, how long it takes. */
export async function applying(): Promise<readonly Figure[]> {
  await using server = await postgresForTests();
  const written: string[] = [];
  const { client, adminSecretArn } = await secretsFor(server, (operation) => {
    if (!isRead(operation)) written.push(operation);
  });
  await databaseOn(server, 'bench');
  const parts = {
    secretsManager: client,
    rotationFunctionArn: functionArn,
    kmsKeyId: 'arn:aws:kms:eu-central-1:000000000000:key/1',
    declarations: inMemoryDeclarations(() => void written.push('declaration')),
    recoveryDays: 7,
  };
  const schemas = { app: { allTables: ['SELECT'] } };
  const fleet = Array.from({ length: agentCount }, (_, at) =>
    declare(server, `agent-${at}`, { adminSecretArn, database: 'bench', schemas }),
  );
  const { query } = pg.Client.prototype;
  pg.Client.prototype.query = new Proxy(query, {
    apply(target, self, args: unknown[]) {
      if (typeof args[0] === 'string' && isWrite(args[0])) written.push(args[0]);
      return Reflect.apply(target, self, args);
    },
  });
  const apply = async () => {
    const began = performance.now();
    await applyPlan(await planFleet(fleet, plannersOf(parts)), { now: () => new Date() });
    return performance.now() - began;
  };
  const firstMs = await apply();
  const first = written.splice(0).length;
  const againMs = await apply();
  pg.Client.prototype.query = query;
  const again = written.length;
  return [
    {
      name: `apply of ${agentCount} agents with nothing to do: writes (${first} the first time)`,
      value: again,
      unit: 'writes',
      goal: '0',
      holds: again === 0 && first > 0,
    },
    {
      name: 'apply with nothing to do, beside the first time',
      value: Math.round((againMs / firstMs) * 100) / 100,
      unit: 'times',
      goal: '< 1',
      holds: againMs < firstMs,
    },
  ];
}
