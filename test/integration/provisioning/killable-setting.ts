import pg from 'pg';
import { endPlannersOf, plannersOf } from '../../../shared/provisioning/converge.ts';
import type { Declaration } from '../../../shared/provisioning/declaration.ts';
import { endAgent } from '../../../shared/provisioning/end.ts';
import { applyPlan, planFleet } from '../../../shared/provisioning/plan.ts';
import { inMemoryDeclarations } from '../../unit/provisioning/in-memory-declarations.ts';
import { asAgent } from '../rotation/setting.ts';
import { currentOf, databaseOn, declare, functionArn, type Server, secretsFor } from './setting.ts';

export const schemas = {
  app: { privileges: ['USAGE', 'CREATE'], allTables: ['SELECT'], tables: { orders: ['INSERT'] } },
};
export const now = () => new Date();
const { query: sends } = pg.Client.prototype;
let count = 0;

export type Setting = Awaited<ReturnType<typeof settingOn>>;

/**
 * An agent of its own in a database of its own, and what applies and ends it. Everything that changes anything outside is
 * counted; within `run` the `at`th dies before it happens.
 */
export async function settingOn(server: Server, more: object = {}) {
  count += 1;
  const id = `agent-${count}`;
  const database = `fleet${count}`;
  let writes: string[] = [];
  let killedAt = Number.POSITIVE_INFINITY;
  const wrote = (what: string) => {
    writes.push(what);
    if (writes.length === killedAt) throw new Error('killed');
  };
  const query = await databaseOn(server, database);
  const { engine, client, adminSecretArn } = await secretsFor(server, (operation) => {
    if (!/^(Describe|Get|List)/.test(operation)) wrote(operation);
  });
  const parts = {
    secretsManager: client,
    rotationFunctionArn: functionArn,
    kmsKeyId: 'arn:aws:kms:eu-central-1:000000000000:key/1',
    declarations: inMemoryDeclarations(() => wrote('declaration')),
    recoveryDays: 7,
  };
  const declaration = declare(server, id, { adminSecretArn, database, schemas }, more);
  const plan = (of: Declaration = declaration) => planFleet([of], plannersOf(parts));
  const apply = async (of: Declaration = declaration) => {
    const plans = await plan(of);
    const [failed] = plans.filter(({ error }) => error !== undefined);
    if (failed) throw failed.error;
    return applyPlan(plans, { now });
  };
  const end = () => endAgent(declaration, endPlannersOf(parts), { now });
  const secret = `agents/${id}/credentials`;
  const run = async <T>(work: () => Promise<T>, at = Number.POSITIVE_INFINITY): Promise<T> => {
    writes = [];
    killedAt = at;
    pg.Client.prototype.query = new Proxy(sends, {
      async apply(target, self, args: [string]) {
        if (/^(CREATE|ALTER|GRANT|REVOKE|COMMENT|DROP|REASSIGN|SET|COMMIT|SELECT pg_terminate)/.test(args[0]))
          wrote(args[0]);
        return Reflect.apply(target, self, args);
      },
    });
    try {
      return await work();
    } finally {
      pg.Client.prototype.query = sends;
      killedAt = Number.POSITIVE_INFINITY;
    }
  };
  return {
    id,
    engine,
    secret,
    parts,
    declaration,
    plan,
    apply,
    end,
    run,
    query,
    adminSecretArn,
    database,
    writes: () => writes,
    as: async (...statements: string[]) => asAgent(await currentOf(engine, secret), ...statements),
  };
}
