import type { SchedulerClient } from '@aws-sdk/client-scheduler';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { SNSClient } from '@aws-sdk/client-sns';
import type { Rotations } from '../../../functions/alert-rotation-failure/episode.ts';
import type { PendingAlert } from '../../../functions/alert-rotation-failure/rotation-state.ts';
import type { Engine } from '../../../local/secrets-manager/engine.ts';
import type { Alert } from '../../../shared/health/episode.ts';
import type { EventBus } from '../../../shared/notification/event-bus.ts';
import type { FindingsAlert, OpenFindings } from '../../../shared/reconciliation/open-findings.ts';
import type { ProbedHealth } from '../../../shared/state/health-state.ts';
import type { Records } from '../../../shared/state/records.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { busDouble, recordsDouble, schedulerDouble, topicDouble } from './aws-doubles.ts';
import { Deliveries } from './deliveries.ts';
import { engineOf } from './engine.ts';
import { Faults } from './faults.ts';
import type { Surroundings } from './invocation.ts';
import type { Line } from './line.ts';
import { Oracle } from './oracle.ts';
import { outages } from './outages.ts';
import type { Plan } from './plan.ts';
import { connectModels, type ModelServer } from './postgres-wire.ts';
import { type Random, randomFrom } from './random.ts';
import { LabelHistory, secretsManagerDouble } from './secrets-manager-double.ts';
import { type Subscribers, subscribersOf } from './subscribers.ts';
import { substituteMachine } from './substitutes.ts';
import { Troubles } from './troubles.ts';
import { distantVault, VaultModel } from './vault-model.ts';
import { minute, VirtualTime } from './virtual-time.ts';

/** All there is in a simulated world, as plain data. What happens in it is in the files beside this one. */
export interface World extends Surroundings {
  readonly plan: Plan;
  readonly random: Random;
  readonly oracle: Oracle;
  readonly deliveries: Deliveries;
  /** By the secret's ARN. */
  readonly lines: Map<string, Line>;
  /** By host. */
  readonly servers: Map<string, ModelServer>;
  /** The ARN of each server's admin secret, by host. */
  readonly admins: Map<string, string>;
  readonly schedules: Map<string, unknown>;
  /** The latest alert of each backend. */
  readonly healthAlerts: Map<string, string>;
  readonly vaultModel: VaultModel;
  /** The same at the end of a network. */
  readonly vault: Vault;
  readonly engine: Engine;
  readonly history: LabelHistory;
  readonly secretsManager: SecretsManagerClient;
  readonly bus: EventBus;
  readonly sns: SNSClient;
  readonly scheduler: SchedulerClient;
  readonly records: {
    readonly rotations: Records<Rotations, PendingAlert>;
    readonly health: Records<ProbedHealth, Alert>;
    readonly findings: Records<OpenFindings, FindingsAlert>;
  };
  readonly subscribers: Subscribers;
  readonly counts: {
    events: number;
    agentRequests: number;
    overtaken: number;
    alertsRefused: number;
  };
  /** Agents and rotations go on for as long as this says. */
  active: boolean;
}

const start = Date.parse('2026-01-01T00:00:00Z');

/** A world without a secret yet. It takes over this thread: its randomness, its network, its deadlines. */
export function newWorld(plan: Plan, say?: (what: string) => void): World {
  const time = new VirtualTime(start);
  const trace = say && ((what: string) => say(`${new Date(time.now()).toISOString()} ${what}`));
  const random = randomFrom(String(plan.seed));
  const faults = new Faults(plan);
  const troubles = new Troubles(time.now);
  const surroundings = { time, faults, troubles, trace, plan, random };
  substituteMachine({ time, random: random.fork('machine') });
  const isDenied = outages(surroundings, 'kms', 'kms denied', { every: 300 * minute, longest: 3 * minute });
  const isSealed = outages(surroundings, 'vault', 'vault sealed', {
    every: 200 * minute,
    longest: 30 * minute,
  });
  const servers = new Map<string, ModelServer>();
  connectModels(surroundings, (host) => servers.get(host));
  globalThis.fetch = async () => {
    await time.sleep(5);
    return new Response(undefined, { status: isSealed() ? 503 : 200 });
  };
  const engine = engineOf(() => world);
  const history = new LabelHistory(engine, time.now);
  const vaultModel = new VaultModel();
  const world: World = {
    ...surroundings,
    oracle: new Oracle(time.now),
    deliveries: new Deliveries(surroundings),
    lines: new Map(),
    servers,
    admins: new Map(),
    schedules: new Map(),
    healthAlerts: new Map(),
    vaultModel,
    vault: distantVault(surroundings, vaultModel, isSealed),
    engine,
    history,
    secretsManager: secretsManagerDouble(surroundings, engine, history, isDenied),
    records: {
      rotations: recordsDouble<Rotations, PendingAlert>(surroundings),
      health: recordsDouble<ProbedHealth, Alert>(surroundings),
      findings: recordsDouble<OpenFindings, FindingsAlert>(surroundings),
    },
    bus: busDouble(() => world),
    sns: topicDouble(() => world),
    scheduler: schedulerDouble(() => world),
    subscribers: subscribersOf(() => world),
    counts: { events: 0, agentRequests: 0, overtaken: 0, alertsRefused: 0 },
    active: true,
  };
  return world;
}
