import pc from 'picocolors';
import * as z from 'zod';
import type { Clients } from '../stack/clients.ts';
import type { Stack } from '../stack/start.ts';
import { failAtTestSecret, graceEnds, rotateByHand, rotateBySchedule, sealVault } from './chapters.ts';
import { type FeedEvent, openFeed } from './feed.ts';
import { startAgent } from './fleet.ts';
import { driftAndHeal } from './heal.ts';
import { declarationsFolder, provisionAgents } from './provision.ts';
import { percentile, type Report } from './report.ts';
import { currentLogin, expectThat, mirrorHolds, type Tour } from './tour.ts';

const agentIds = ['billing', 'research', 'support'] as const;
/** Long enough for an agent to move over, short enough to wait for. */
const graceSeconds = 15;

/** Goes through all of it, and gives what was measured. Every part of the tour ends before this returns. */
export async function runTour(options: {
  stack: Stack;
  clients: Clients;
  say: (line: string) => void;
  movedAt: ReadonlyMap<string, number>;
  rotations: number;
  unsealKey: string;
}): Promise<Report> {
  const { stack, clients, say, movedAt, rotations, unsealKey } = options;
  await using parts = new AsyncDisposableStack();
  const feed = parts.use(
    await openFeed(stack, clients, {
      event: (event) => say(pc.cyan(told(event))),
      alert: ({ backend, state }) => say(pc.yellow(`on-call: ${backend} ${state}`)),
    }),
  );
  say(`keyturn apply ${declarationsFolder}`);
  const agents = await provisionAgents(agentIds, stack, clients, { graceSeconds });
  say(`provisioned ${agentIds.join(', ')}: 50 queries a second each`);
  const fleet = await Promise.all(agents.map((agent) => startAgent(agent, stack.environment)));
  for (const running of fleet) parts.use(running);
  const tour: Tour = {
    stack,
    clients,
    fleet,
    feed,
    say,
    movedAt,
    checks: [],
    propagationMs: [],
    superseded: [],
  };

  await countCalls(stack);
  const [first, second] = fleet;
  if (!first || !second) throw new Error('The tour needs two agents');
  await rotateByHand(tour, first);
  const secretsManagerCallsPerRotation = await countedCalls(stack);
  await expectThat(
    tour,
    'a rotation makes at most 9 Secrets Manager calls',
    async () => secretsManagerCallsPerRotation <= 9,
    0,
  );
  for (let done = 1; done < rotations; done += fleet.length) {
    const round = [...fleet.slice(1), first].slice(0, rotations - done);
    await Promise.all(round.map((running) => rotateByHand(tour, running)));
  }
  // Before the clock is advanced: ministack dates the move of a label by the machine's, and a failure is dated by Secrets Manager's.
  await failAtTestSecret(tour, first);
  await rotateBySchedule(tour);
  await sealVault(tour, second, unsealKey);
  const revokedLoginsRefused = await graceEnds(tour, (graceSeconds + 60) * 1_000);

  await driftAndHeal(tour, declarationsFolder);

  const inSync = await Promise.all(
    fleet.map(async ({ agent }) => mirrorHolds(tour, agent, (await currentLogin(tour, agent)).versionId)),
  );
  await expectThat(tour, 'every mirror is in sync', async () => inSync.every(Boolean), 0);
  await parts.disposeAsync();
  const queries = {
    total: fleet.reduce((sum, running) => sum + running.queries.total, 0),
    failed: fleet.reduce((sum, running) => sum + running.queries.failed, 0),
  };
  await expectThat(
    tour,
    'no query of any agent failed',
    async () => queries.total > 0 && queries.failed === 0,
    0,
  );
  for (const { agent, failures } of fleet)
    for (const reason of new Set(failures)) say(pc.red(`${agent.id}: ${reason}`));
  return {
    rotations: tour.propagationMs.length,
    queries,
    propagationMs: {
      p50: percentile(tour.propagationMs, 0.5),
      p99: percentile(tour.propagationMs, 0.99),
      max: Math.max(...tour.propagationMs),
    },
    mirrors: { inSync: inSync.filter(Boolean).length, behind: inSync.filter((ok) => !ok).length },
    alerts: feed.alerts.map(({ backend, state }) => ({ backend, state })),
    secretsManagerCallsPerRotation,
    revokedLoginsRefused,
    checks: tour.checks,
  };
}

function told({ type, detail }: FeedEvent): string {
  const why = type === 'Rotation Failed' ? ` at ${detail.step}: ${detail.errorClass}` : '';
  return `${type}: ${detail.secret}${why}`;
}

const counts = z.object({ callers: z.record(z.string(), z.record(z.string(), z.number())) });

async function countCalls({ endpoint }: Stack): Promise<void> {
  await fetch(`${endpoint}/_keyturn/idle`);
  await fetch(`${endpoint}/_keyturn/calls`, { method: 'DELETE' });
}

/** The calls that rotate-secret made, counted on the wire. */
async function countedCalls({ endpoint }: Stack): Promise<number> {
  await fetch(`${endpoint}/_keyturn/idle`);
  const { callers } = counts.parse(await (await fetch(`${endpoint}/_keyturn/calls`)).json());
  return Object.values(callers['rotate-secret'] ?? {}).reduce((sum, count) => sum + count, 0);
}
