// An agent, as a process of its own: it asks PostgreSQL 50 times a second with whatever login Keyturn's client gives it.
//   node agent.ts AGENT_ID SECRET TOPIC_ARN TABLE EVENT_BUS [TTL_MS]
import { createAgentSecrets } from '../../agent/index.ts';
import type { AgentMessage } from './messages.ts';

const queriesPerSecond = 50;
const [agentId = '', secret = '', topicArn = '', table = '', eventBusName = '', ttlMs] =
  process.argv.slice(2);
const tell = (message: AgentMessage) => void process.send?.(message);

const hears = Promise.withResolvers<void>();
const agent = createAgentSecrets({
  agentId,
  topicArn,
  eventBusName,
  ...(ttlMs !== undefined && { ttlMs: Number(ttlMs) }),
  onConnected: (connected) => connected && hears.resolve(),
});
const pool = agent.postgres(secret, { pool: { max: 4 } });
const running = new Set<Promise<void>>();
let total = 0;
let failed = 0;
let login = '';

async function query(): Promise<void> {
  total += 1;
  try {
    const { rows } = await pool.query<{ login: string }>(
      `SELECT session_user::text AS login, (SELECT count(*) FROM ${table}) AS orders`,
    );
    const used = rows[0]?.login ?? '';
    if (used !== login) {
      login = used;
      tell({ kind: 'login', login, at: Date.now() });
    }
  } catch (error) {
    failed += 1;
    tell({ kind: 'failed', reason: error instanceof Error ? error.message : 'unknown', at: Date.now() });
  }
}

await Promise.all([query(), hears.promise]);
const beat = setInterval(() => {
  const one = query();
  running.add(one);
  void one.finally(() => running.delete(one));
}, 1_000 / queriesPerSecond);
const counts = setInterval(() => tell({ kind: 'count', total, failed }), 500);
tell({ kind: 'ready' });

process.on('SIGINT', () => undefined); // Ctrl-C reaches the tour too, which tells us when to end.
process.on('disconnect', () => process.exit());
process.once('message', async () => {
  clearInterval(beat);
  clearInterval(counts);
  await Promise.all(running);
  await agent.close();
  tell({ kind: 'count', total, failed });
  process.disconnect();
});
