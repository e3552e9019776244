import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clientsOf } from '../../local/stack/clients.ts';
import { stackPorts } from '../../local/stack/ports.ts';
import { type Stack, startStack } from '../../local/stack/start.ts';
import { type Agent, provisionAgents } from '../../local/tour/provision.ts';
import { currentLogin, type Login, labelsOf, mirrorHolds, rotateNow, takes } from '../../local/tour/tour.ts';
import { until } from '../../local/until.ts';
import { killWorkers } from '../faults/soak/faults.ts';

/** Whom to end, and when: none, or the Lambda workers at a call of one of the functions that they run. */
let strike: { isAt(caller: string, operation: string): boolean; struck(killed: number): void } | undefined;
let step = '';
let stack: Stack;
let clients: ReturnType<typeof clientsOf>;

beforeAll(async () => {
  stack = await startStack({
    ports: await stackPorts(undefined),
    logs: join(mkdtempSync(join(tmpdir(), 'keyturn-killed-')), 'logs'),
    say: () => undefined,
    onStep: ({ Step }) => {
      step = Step;
    },
    onCall(caller, operation) {
      if (!strike?.isAt(caller, operation)) return;
      const { struck } = strike;
      strike = undefined;
      struck(killWorkers(stack.ministack.pid));
    },
  });
  clients = clientsOf(stack);
});
afterAll(async () => stack?.[Symbol.asyncDispose]());

const minuteMs = 60_000;
const graceSeconds = 3;

/** Where the workers die: each in the midst of a call, whose answer nobody is there to take. */
const moments: Readonly<Record<string, (caller: string, operation: string) => boolean>> = {
  createSecret: (caller, operation) => caller === 'rotate-secret' && operation === 'PutSecretValue',
  testSecret: (caller) => caller === 'rotate-secret' && step === 'testSecret',
  finishSecret: (caller, operation) => caller === 'rotate-secret' && operation === 'UpdateSecretVersionStage',
  announcement: (caller) => caller === 'announce-rotation',
  invalidation: (caller) => caller === 'invalidate-caches',
  mirror: (caller, operation) => caller === 'sync-vault-mirror' && operation === 'GetSecretValue',
  revocation: (caller) => caller === 'revoke-superseded',
};

/** Of whichever agent the call is about: earlier ones are announced, mirrored and revoked meanwhile. */
async function workersDieAt(name: string, agent: Agent): Promise<void> {
  let killed = 0;
  strike = {
    isAt: moments[name] ?? (() => false),
    struck(workers) {
      killed = workers;
    },
  };
  await rotateNow({ clients }, agent);
  await until(`workers are killed at ${name}`, async () => killed > 0, 60_000);
  await stack.secretsManager.engine.idle();
}

/** Holds the lock that rotations and revocations of an agent take, until one of them waits for it. Then `end` ends a process. */
async function midStatement(agent: Agent, begin: () => Promise<unknown>, end: () => Promise<unknown>) {
  const holder = new pg.Client({ connectionString: stack.postgres.url });
  // It dies with the server.
  holder.on('error', () => undefined);
  await holder.connect();
  await holder.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [`keyturn:${agent.id}`]);
  const begun = begin();
  await until(`${agent.id}: a statement waits`, async () => {
    const waiting = await stack.postgres.query(
      `SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%pg_advisory_xact_lock%'`,
    );
    return waiting.length > 0;
  });
  await end();
  await holder.end().catch(() => undefined);
  await begun;
}

async function invoke(name: string): Promise<void> {
  const Payload = Buffer.from(JSON.stringify({ action: 'reconcile' }));
  const FunctionName = `keyturn-local-${name}`;
  const { FunctionError } = await clients.lambda.send(new InvokeCommand({ FunctionName, Payload }));
  expect(FunctionError, name).toBeUndefined();
}

async function readsItsTable({ username, password }: Login, { table }: Agent): Promise<number | null> {
  const { port } = stack.postgres;
  const client = new pg.Client({ host: '127.0.0.1', port, user: username, password, database: 'postgres' });
  try {
    await client.connect();
    return (await client.query(`SELECT * FROM ${table}`)).rowCount;
  } finally {
    await client.end();
  }
}

it('workers and the database die in the midst of everything, and each agent ends with one login that works', async () => {
  const lambda = [...Object.keys(moments).map((name) => name.toLowerCase()), 'setsecret'];
  const database = ['dbsetsecret', 'dbrevocation'];
  const agents = await provisionAgents([...lambda, ...database], stack, clients, {
    graceSeconds,
    folder: join(mkdtempSync(join(tmpdir(), 'keyturn-killed-')), 'agents'),
  });
  await stack.secretsManager.engine.idle();
  const first = new Map(
    await Promise.all(
      agents.map(async (agent) => [agent.id, await currentLogin({ clients }, agent)] as const),
    ),
  );
  const agentOf = (id: string) => agents.find((agent) => agent.id === id) ?? expect.fail(id);
  const rotated = async (agent: Agent) => {
    await rotateNow({ clients }, agent);
    await stack.secretsManager.engine.idle();
  };

  for (const name of Object.keys(moments)) {
    await workersDieAt(name, agentOf(name.toLowerCase()));
    const login = await currentLogin({ clients }, agentOf(name.toLowerCase()));
    expect(await takes({ stack }, login), `${name}: what the secret holds works`).toBe(true);
  }
  const setSecret = agentOf('setsecret');
  await midStatement(
    setSecret,
    () => rotated(setSecret),
    async () => {
      expect(killWorkers(stack.ministack.pid)).toBeGreaterThan(0);
    },
  );
  const dbSetSecret = agentOf('dbsetsecret');
  await midStatement(
    dbSetSecret,
    () => rotated(dbSetSecret),
    () => stack.postgres.crash(),
  );
  const dbRevocation = agentOf('dbrevocation');
  await rotated(dbRevocation);
  // Its grace ends while the lock is held, and its schedule has it revoked.
  await midStatement(
    dbRevocation,
    async () => undefined,
    () => stack.postgres.crash(),
  );

  // What is stuck, missed or behind is made good by the hourly runs: the first ends rotations, the second their grace.
  for (let hour = 0; hour < 2; hour += 1) {
    stack.secretsManager.clock.advance(60 * minuteMs);
    await invoke('reconcile-fleet');
    await invoke('reconcile-mirrors');
  }
  for (const agent of agents) {
    const before = first.get(agent.id) ?? expect.fail(agent.id);
    const current = await currentLogin({ clients }, agent);
    expect(current.versionId, `${agent.id} has rotated`).not.toBe(before.versionId);
    expect(await readsItsTable(current, agent), `${agent.id} reads its table`).toBe(100);
    await until(
      `${agent.id}: the superseded login is refused`,
      async () => !(await takes({ stack }, before)),
    );
    await until(`${agent.id}: the mirror follows`, () => mirrorHolds({ stack }, agent, current.versionId));
    const pending = Object.values(await labelsOf({ clients }, agent)).filter(
      (labels) => labels.includes('AWSPENDING') && !labels.includes('AWSCURRENT'),
    );
    expect(pending, `${agent.id}: rotations in progress`).toEqual([]);
    const roles = await stack.postgres.query(
      `SELECT rolname FROM pg_roles WHERE rolname ~ '^${agent.id}(_|$)' ORDER BY rolname`,
    );
    expect(roles.map(({ rolname }) => rolname)).toEqual([agent.id, `${agent.id}_a`, `${agent.id}_b`]);
  }
  const locked = await stack.postgres.query(`SELECT pid FROM pg_locks WHERE locktype = 'advisory'`);
  expect(locked, 'locks that outlived their function').toEqual([]);
}, 240_000);
