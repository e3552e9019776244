import { alertMessage } from '../../../functions/check-backend-health/alert-message.ts';
import { checkBackends, type ProbeBackend } from '../../../functions/check-backend-health/check-backends.ts';
import { listTargets, type Target } from '../../../functions/check-backend-health/probe-secrets-manager.ts';
import { probeTarget } from '../../../functions/check-backend-health/probe-target.ts';
import { probeVault } from '../../../functions/check-backend-health/probe-vault.ts';
import type { Alert } from '../../../shared/health/episode.ts';
import { alerted } from './aws-doubles.ts';
import { invoke } from './invocation.ts';
import { ownClock } from './runs.ts';
import { minute } from './virtual-time.ts';
import type { World } from './world.ts';

const vaultAddress = 'https://vault.simulated:8200';

/** check-backend-health, every ten minutes. */
export function startHealthChecks(world: World): void {
  let runs = 0;
  const next = () => {
    if (!world.active) return;
    runs += 1;
    checkHealth(world, runs).catch(() => undefined);
    world.time.after(10 * minute, next);
  };
  world.time.after(minute, next);
}

function checkHealth(world: World, run: number): Promise<void> {
  const { secretsManager, vault, records } = world;
  const options = {
    name: `health/${run}`,
    random: world.random.fork('health').fork(String(run)),
    timeoutMs: 55_000,
  };
  return invoke(world, options, async () => {
    const check = {
      state: records.health,
      rule: { window: 3, failures: 2 },
      send: (backend: string, alert: Alert) => alerted(world, () => judged(world, backend, alert)),
      now: ownClock(world),
      count: () => undefined,
      runId: String(run),
      deadlineMs: 8_000,
      log: { warn: () => undefined },
    };
    let targets: readonly Target[] = [];
    const systems = new Map<string, ProbeBackend>([
      [
        'secrets-manager',
        async () => {
          targets = await listTargets(secretsManager, 8_000);
          return undefined;
        },
      ],
      ['vault', () => probeVault(vaultAddress, vault, 8_000)],
    ]);
    await checkBackends(systems, check);
    const probes = targets.map((target): [string, ProbeBackend] => [
      `target ${target.name}`,
      () => probeTarget(secretsManager, target, 8_000),
    ]);
    await checkBackends(new Map(probes), check);
  });
}

function judged({ healthAlerts, oracle }: World, backend: string, alert: Alert): void {
  const { state } = alertMessage(backend, alert, 'runbook');
  const opened = state !== 'recovered';
  const last = healthAlerts.get(backend);
  const key = `${state} ${alert.since} ${alert.at}`;
  const wasOpen = last !== undefined && !last.startsWith('recovered');
  if (last !== key && opened === wasOpen) oracle.violated('one alert an episode', backend, key);
  healthAlerts.set(backend, key);
}
