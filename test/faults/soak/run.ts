import { paginateListSchedules, SchedulerClient } from '@aws-sdk/client-scheduler';
import { InvalidRequestException, RotateSecretCommand } from '@aws-sdk/client-secrets-manager';
import type { Clients } from '../../../local/stack/clients.ts';
import { region, type Stack } from '../../../local/stack/start.ts';
import { openFeed } from '../../../local/tour/feed.ts';
import { type RunningAgent, startAgent } from '../../../local/tour/fleet.ts';
import { provisionAgent } from '../../../local/tour/provision.ts';
import type { Check } from '../../../local/tour/report.ts';
import { checkHealth, currentLogin, labelsOf, mirrorHolds, takes } from '../../../local/tour/tour.ts';
import { until } from '../../../local/until.ts';
import type { Microburst } from '../../integration/microburst.ts';
import { killWorker, met, residentMib, weather } from './faults.ts';

export interface SoakReport {
  readonly rotations: number;
  readonly lostRotations: number;
  readonly requests: number;
  readonly failedRequests: number;
  /** Requests to AWS that a fault met, workers that were killed, and times that Vault was sealed. */
  readonly faults: { readonly requests: number; readonly workers: number; readonly seals: number };
  /** Of the largest agent, in MiB, once it was warm and at the end. */
  readonly memoryMib: { readonly warm: number; readonly end: number };
  readonly checks: readonly Check[];
}

const graceSeconds = 15;
/** Shorter than the grace period, as in production: an invalidation that is lost then costs no request. */
const ttlMs = 5_000;
const agentCount = 6;
/** How long one rotation may take under faults, its retries included, before it counts as lost. */
const lostAfterMs = 120_000;

/**
 * Rotates a fleet over and over under faults while its agents query without a pause; then the faults end, and everything is to
 * be as if there had been none.
 */
export async function soak(options: {
  stack: Stack;
  clients: Clients;
  microburst: Microburst;
  rotations: number;
  unsealKey: string;
  movedAt: ReadonlyMap<string, number>;
  say: (line: string) => void;
}): Promise<SoakReport> {
  const { stack, clients, microburst, rotations, unsealKey, movedAt, say } = options;
  await using parts = new AsyncDisposableStack();
  const feed = parts.use(
    await openFeed(stack, clients, {
      event: () => undefined,
      alert: ({ backend, state }) => say(`on-call: ${backend} ${state}`),
    }),
  );
  const checks: Check[] = [];
  const check = (name: string, ok: boolean) => {
    checks.push({ name, ok });
    if (!ok) say(`FAILED: ${name}`);
  };

  const fleet: RunningAgent[] = [];
  for (let number = 1; number <= agentCount; number += 1) {
    const agent = await provisionAgent(`soak${number}`, stack, clients, { graceSeconds });
    const behindFaults = { ...stack.environment, AWS_ENDPOINT_URL: microburst.url };
    fleet.push(parts.use(await startAgent(agent, behindFaults, { ttlMs })));
  }
  say(`${agentCount} agents, 50 queries a second each; ${rotations} rotations under faults`);
  const rolesBefore = await roles(stack);
  const tour = { clients, stack };

  await microburst.inject(weather);
  const faults = { requests: 0, workers: 0, seals: 0 };
  let asked = 0;
  let done = 0;
  let lost = 0;
  let warm = Number.NaN;
  const memory = () => Math.max(...fleet.map(({ pid }) => residentMib(pid)));
  const killer = setInterval(() => {
    if (killWorker(stack.ministack.pid)) faults.workers += 1;
  }, 5_000);
  const sealing = sealNowAndThen(stack, unsealKey, tour, () => {
    faults.seals += 1;
  });
  parts.defer(() => clearInterval(killer));

  await Promise.all(
    fleet.map(async (running) => {
      while (asked < rotations) {
        asked += 1;
        const rotated = await rotate(running, { clients, stack, movedAt, say });
        done += Number(rotated);
        lost += Number(!rotated);
        if (done === Math.ceil(rotations / 4)) warm = memory();
        if (done % 50 === 0) say(`${done} rotations`);
      }
    }),
  );
  clearInterval(killer);
  await sealing.stop();
  faults.requests = await met(microburst);
  await microburst.inject([]);
  say(`the faults end after ${done} rotations: ${JSON.stringify(faults)}`);

  check('no rotation is lost', lost === 0 && done === rotations);
  const eventually = async (name: string, condition: () => Promise<boolean>, timeoutMs = 60_000) =>
    check(name, await until(name, condition, timeoutMs).then(Boolean, () => false));
  const every = async (holds: (running: RunningAgent) => Promise<boolean>) =>
    (await Promise.all(fleet.map(holds))).every(Boolean);
  await eventually('every agent uses the current login', () =>
    every(async ({ agent, logins }) => {
      const { username } = await currentLogin(tour, agent);
      return logins.at(-1)?.login === username;
    }),
  );
  await eventually(
    'every mirror is in sync',
    () => every(async ({ agent }) => mirrorHolds(tour, agent, (await currentLogin(tour, agent)).versionId)),
    180_000,
  );
  await eventually(
    'no schedule is left when the grace periods have ended',
    async () => (await schedules(stack)) === 0,
    (graceSeconds + 120) * 1_000,
  );
  await eventually('of each pair one login is refused, and the current one works', () =>
    every(async ({ agent }) => {
      const current = await currentLogin(tour, agent);
      const other = current.username.endsWith('_a') ? `${agent.id}_b` : `${agent.id}_a`;
      const [role] = await stack.postgres.query(
        `SELECT rolcanlogin FROM pg_roles WHERE rolname = '${other}'`,
      );
      return role?.rolcanlogin === false && (await takes(tour, current));
    }),
  );
  check('no role was added but the twin of each agent', (await roles(stack)) <= rolesBefore + agentCount);
  check(
    'no more than three versions of a secret carry labels',
    await every(async ({ agent }) => Object.keys(await labelsOf(tour, agent)).length <= 3),
  );
  const [connections] = await stack.postgres.query(
    "SELECT count(*)::int AS open FROM pg_stat_activity WHERE usename LIKE 'soak%'",
  );
  check('no connection of a former login is left', Number(connections?.open) <= agentCount * 4);
  await checkHealth({ clients });
  await eventually('on-call heard of each episode once, and of its end', async () => {
    const byBackend = Object.groupBy(feed.alerts, ({ backend }) => backend);
    return Object.values(byBackend).every((alerts = []) =>
      alerts.every(({ state }, index) => (state === 'recovered') === (index % 2 === 1)),
    );
  });
  const end = memory();
  check('no agent grew by more than half once it was warm', end <= warm * 1.5);
  await parts.disposeAsync();
  const requests = fleet.reduce((sum, { queries }) => sum + queries.total, 0);
  const failedRequests = fleet.reduce((sum, { queries }) => sum + queries.failed, 0);
  for (const { agent, failures } of fleet)
    for (const reason of new Set(failures)) say(`${agent.id}: ${reason}`);
  check('no request of any agent failed', requests > 0 && failedRequests === 0);
  return {
    rotations: done,
    lostRotations: lost,
    requests,
    failedRequests,
    faults,
    memoryMib: { warm: Math.round(warm), end: Math.round(end) },
    checks,
  };
}

/** One rotation, asked for until it is done. False where it is lost. */
async function rotate(
  { agent, logins }: RunningAgent,
  {
    clients,
    stack,
    movedAt,
    say,
  }: {
    readonly clients: Clients;
    readonly stack: Stack;
    readonly movedAt: ReadonlyMap<string, number>;
    readonly say: (line: string) => void;
  },
): Promise<boolean> {
  let token = '';
  const ask = async () => {
    try {
      const { VersionId = '' } = await clients.secretsManager.send(
        new RotateSecretCommand({ SecretId: agent.secretArn }),
      );
      token = VersionId;
    } catch (error) {
      // The one before isn't complete, and is begun again: AWS's own answer to a rotation that is stuck.
      if (!(error instanceof InvalidRequestException)) throw error;
      const labels = await labelsOf({ clients }, agent);
      token = Object.keys(labels).find((versionId) => labels[versionId]?.includes('AWSPENDING')) ?? token;
    }
  };
  await ask();
  const moved = async () => {
    const at = movedAt.get(token);
    if (at !== undefined) return at;
    const status = stack.secretsManager.engine.rotationOf(agent.secretArn);
    // It failed, or it was the test of a secret that was just provisioned: nothing moves for that.
    if (status?.token === token && status.state !== 'running') await ask();
    return undefined;
  };
  try {
    const at = await until(`${agent.id}: AWSCURRENT moves`, moved, lostAfterMs);
    const { username } = await currentLogin({ clients }, agent);
    await until(
      `${agent.id} uses ${username}`,
      async () => logins.some((used) => used.login === username && used.at >= at),
      lostAfterMs,
    );
    return true;
  } catch (error) {
    const status = stack.secretsManager.engine.rotationOf(agent.secretArn);
    say(`lost: ${error instanceof Error ? error.message : 'unknown'}; ${token}: ${JSON.stringify(status)}`);
    return false;
  }
}

/** Seals Vault for some seconds, and has its health checked meanwhile, until told to stop. */
function sealNowAndThen(
  { openBao }: Stack,
  unsealKey: string,
  tour: { clients: Clients },
  sealed: () => void,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const wait = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      stopping.signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await wait(10_000);
      if (stopping.signal.aborted) break;
      await openBao.seal();
      sealed();
      for (let check = 0; check < 3; check += 1) await checkHealth(tour);
      await wait(5_000);
      await openBao.unseal(unsealKey);
      for (let check = 0; check < 3; check += 1) await checkHealth(tour);
      await wait(20_000);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
      for (let check = 0; check < 3; check += 1) await checkHealth(tour);
    },
  };
}

async function roles({ postgres }: Stack): Promise<number> {
  const [row] = await postgres.query(
    "SELECT count(*)::int AS roles FROM pg_roles WHERE rolname LIKE 'soak%'",
  );
  return Number(row?.roles);
}

async function schedules({ endpoint }: Stack): Promise<number> {
  const client = new SchedulerClient({
    endpoint,
    region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  let count = 0;
  for await (const { Schedules = [] } of paginateListSchedules({ client }, {})) {
    count += Schedules.filter(({ GroupName }) => GroupName?.startsWith('keyturn')).length;
  }
  client.destroy();
  return count;
}
