import { adminSecretsLike } from '../../../shared/credential/admin-secrets.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { scramVerifier } from '../../../shared/rotators/postgres/scram.ts';
import { type AgentInstance, agentOf } from './agents.ts';
import type { Watched } from './oracle.ts';
import type { ModelRole } from './postgres-model.ts';
import type { Random } from './random.ts';
import { serverOf } from './servers.ts';
import { uuidOf } from './substitutes.ts';
import { minute } from './virtual-time.ts';
import type { World } from './world.ts';

/** One secret and what belongs to it. */
export interface Line extends Watched {
  readonly index: number;
  readonly arn: string;
  readonly agentId: string;
  readonly random: Random;
  readonly agents: AgentInstance[];
  readonly host: string;
  /** Rotations that had begun when one that was given up moved AWSCURRENT even so, to the login that they were to use. */
  readonly undercut: Set<string>;
  /** Rotations that somebody took AWSPENDING from. A run of one that was under way may put it back. */
  readonly abandoned: Set<string>;
  invocations: number;
}

export function lineOf({ lines }: World, arn: string): Line {
  const line = lines.get(arn);
  if (!line) throw new Error(`no such secret: ${arn}`);
  return line;
}

/** An agent's secret, of a kind that the seed picks, with its login at the target and its two instances. */
export async function addLine(world: World, index: number): Promise<void> {
  const own = world.random.fork(`secret ${index}`);
  const { host, model } = serverOf(world, index);
  const agentId = `agent-${index}`;
  const name = `agents/${agentId}/credentials`;
  const dual = !own.chance(0.15);
  const adopted = dual && own.chance(0.3);
  const mirrored = own.chance(0.5);
  const graceMs = own.pick([5, 10, 20]) * minute;
  const group = `g${index}`;
  const username = adopted || !dual ? group : `${group}_a`;
  const password = `first-${index}`;
  const verifier = scramVerifier(SecretValue.of(password));
  const kept = settingsFor(own);
  model.create(group, { ...kept, ...((adopted || !dual) && { login: true, verifier }) });
  if (dual && !adopted) {
    model.create(username, {
      ...kept,
      login: true,
      verifier,
      setRole: group,
      memberOf: new Map([[group, { inherit: true, set: true }]]),
    });
  }
  const line: Line = {
    index,
    arn: `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${name}-AbCdEf`,
    secret: name,
    agentId,
    group,
    host,
    model,
    dual,
    graceMs,
    mirrored,
    random: own,
    agents: [],
    superseded: [],
    order: [],
    passwords: new Set([password]),
    effects: new Set(),
    undercut: new Set(),
    abandoned: new Set(),
    current: undefined,
    rotations: 0,
    mirroredAt: -1,
    alerts: [],
    invocations: 0,
  };
  world.oracle.watch(line);
  world.lines.set(line.arn, line);
  const masterarn = await adminOf(world, host);
  const tags = {
    agent_id: agentId,
    managed_by: 'agent-platform',
    'keyturn:grace': `${graceMs / minute}m`,
    ...(mirrored && { 'keyturn:mirror': `agents/${agentId}/credentials` }),
    ...(!dual && { 'keyturn:strategy': 'single-user' }),
  };
  for (let instance = 0; instance < 2; instance += 1) line.agents.push(agentOf(world, line, instance));
  await world.engine.CreateSecret({
    Name: name,
    ClientRequestToken: uuidOf(own),
    SecretString: JSON.stringify({
      engine: 'postgres',
      host,
      port: 5_432,
      dbname: 'app',
      username,
      password,
      ssl: false,
      masterarn,
      note: 'static',
    }),
    Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
  });
  await world.history.note(line.arn);
}

/** What PostgreSQL keeps for a login besides. Chosen apart from all else, which is what it would be without. */
function settingsFor(line: Random): Partial<ModelRole> {
  if (!line.fork('settings').chance(0.3)) return {};
  return {
    settings: [
      { database: null, name: 'search_path', value: '"$user", app' },
      { database: 'app', name: 'work_mem', value: '8MB' },
    ],
    connectionLimit: 20,
  };
}

export const isAdminSecret = adminSecretsLike('keyturn/admin/*');

async function adminOf({ admins, engine }: World, host: string): Promise<string> {
  const known = admins.get(host);
  if (known !== undefined) return known;
  const { ARN } = await engine.CreateSecret({
    Name: `keyturn/admin/${host}`,
    SecretString: JSON.stringify({
      engine: 'postgres',
      host,
      port: 5_432,
      dbname: 'app',
      username: 'admin',
      password: 'admin-password',
      ssl: false,
    }),
    Tags: [{ Key: 'keyturn:probe', Value: host }],
  });
  admins.set(host, ARN);
  return ARN;
}
