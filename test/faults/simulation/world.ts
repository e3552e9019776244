import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import {
  ConflictException,
  type CreateScheduleCommandInput,
  ListSchedulesCommand,
  SchedulerClient,
} from '@aws-sdk/client-scheduler';
import { SNSClient } from '@aws-sdk/client-sns';
import { receive } from '../../../agent/invalidation.ts';
import { SecretCache } from '../../../agent/secret-cache.ts';
import { secretsManagerSource } from '../../../agent/secrets-manager-source.ts';
import { alertRotationFailure } from '../../../functions/alert-rotation-failure/alert-rotation-failure.ts';
import type { Rotations } from '../../../functions/alert-rotation-failure/episode.ts';
import type { PendingAlert } from '../../../functions/alert-rotation-failure/rotation-state.ts';
import { announceRotation } from '../../../functions/announce-rotation/announce-rotation.ts';
import { alertMessage } from '../../../functions/check-backend-health/alert-message.ts';
import { checkBackends, type ProbeBackend } from '../../../functions/check-backend-health/check-backends.ts';
import { listTargets, type Target } from '../../../functions/check-backend-health/probe-secrets-manager.ts';
import { probeTarget } from '../../../functions/check-backend-health/probe-target.ts';
import { probeVault } from '../../../functions/check-backend-health/probe-vault.ts';
import { invalidateCaches } from '../../../functions/invalidate-caches/invalidate-caches.ts';
import { findingEvent } from '../../../functions/reconcile-fleet/finding-event.ts';
import { reconcileFleet } from '../../../functions/reconcile-fleet/reconcile-fleet.ts';
import { answerMirrors } from '../../../functions/reconcile-mirrors/reconcile-mirrors.ts';
import { revokeSuperseded } from '../../../functions/revoke-superseded/revoke-superseded.ts';
import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import { syncRecord } from '../../../functions/sync-vault-mirror/sync-record.ts';
import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import { SecretsManagerError } from '../../../local/secrets-manager/errors.ts';
import type { RotationEvent } from '../../../local/secrets-manager/rotation.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import type { Alert } from '../../../shared/health/episode.ts';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import { eventBus } from '../../../shared/notification/event-bus.ts';
import type { FindingsAlert, OpenFindings } from '../../../shared/reconciliation/open-findings.ts';
import { scramVerifier } from '../../../shared/rotators/postgres/scram.ts';
import { paced } from '../../../shared/secrets-manager/pace.ts';
import type { ProbedHealth } from '../../../shared/state/health-state.ts';
import type { Records } from '../../../shared/state/records.ts';
import { mirrorDigest } from '../../../shared/vault/digest.ts';
import { recordsInMemory } from '../../unit/state/in-memory.ts';
import { Deliveries, type Subscriber } from './deliveries.ts';
import { earlyRequest } from './early-revocation.ts';
import { isStillWanted, quietMs } from './failing-steps.ts';
import { type FaultKind, Faults } from './faults.ts';
import { asAgent, currentInvocation, invoke, nameOf, outside, type Surroundings } from './invocation.ts';
import { type Login, Oracle, type Violation, type Watched } from './oracle.ts';
import { PostgresModel } from './postgres-model.ts';
import { connectModels } from './postgres-wire.ts';
import { type Random, randomFrom } from './random.ts';
import { LabelHistory, secretsManagerDouble } from './secrets-manager-double.ts';
import { substituteMachine, uuidOf } from './substitutes.ts';
import { thorough } from './thorough.ts';
import { Troubles } from './troubles.ts';
import { distantVault, VaultModel } from './vault-model.ts';
import { VirtualTime } from './virtual-time.ts';

/** What a run is made of: the same plan, the same run. */
export interface Plan {
  readonly seed: number;
  /** Which secrets there are; each has an agent with two instances. */
  readonly secrets: readonly number[];
  /** Rotations that are asked for, a secret. */
  readonly rotations: number;
  readonly kinds: readonly FaultKind[];
  /** Faults that are left out, by name. */
  readonly without: readonly string[];
}

export interface Outcome {
  /** How often a rotation moved AWSCURRENT. */
  readonly rotations: number;
  readonly events: number;
  readonly agentRequests: number;
  /** Superseded credentials whose grace another rotation cut short. */
  readonly overtaken: number;
  /** Adopted logins that the target still takes at the end. */
  readonly leftBehind: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly struck: readonly string[];
  readonly violations: readonly Violation[];
}

const start = Date.parse('2026-01-01T00:00:00Z');
const minute = 60_000;
const functionArn = 'arn:aws:lambda:eu-central-1:123456789012:function:keyturn-rotate-secret';
const topicArn = 'arn:aws:sns:eu-central-1:123456789012:keyturn-invalidations';
const vaultAddress = 'https://vault.simulated:8200';
const secretsPerServer = 50;

/** One secret and what belongs to it. */
interface Line extends Watched {
  readonly index: number;
  readonly arn: string;
  readonly agentId: string;
  readonly random: Random;
  readonly agents: AgentInstance[];
  readonly host: string;
  invocations: number;
}

interface AgentInstance {
  readonly cache: SecretCache;
  readonly subscriber: Subscriber;
  readonly random: Random;
  readonly name: string;
  /** The latest version that it showed or was told of, by its place in the order. */
  floor: number;
  /** When a read that showed a version in force last began. */
  readonly confirmed: Map<string, number>;
}

/** Runs a plan from its beginning until everything has converged, or something was violated. */
export async function simulate(plan: Plan, trace?: (what: string) => void): Promise<Outcome> {
  const random = randomFrom(String(plan.seed));
  const time = new VirtualTime(start);
  const faults = new Faults(plan);
  const stamped = (what: string) => trace?.(`${new Date(time.now()).toISOString()} ${what}`);
  const troubles = new Troubles(time.now);
  const surroundings: Surroundings = { time, faults, troubles, trace: trace && stamped };
  substituteMachine({ time, random: random.fork('machine') });
  const oracle = new Oracle(time.now);
  const deliveries = new Deliveries(surroundings);
  const vault = new VaultModel();
  const lines = new Map<string, Line>();
  const schedules = new Map<string, unknown>();
  let events = 0;
  let agentRequests = 0;
  let overtaken = 0;
  let leftBehind = 0;

  // --- outages, one window after another, the same for all that share a part
  const outages = (label: string, kind: FaultKind, every: number, longest: number) => {
    const own = random.fork(label);
    const windows: [number, number][] = [];
    for (
      let at = start + own.between(0, every);
      at < start + 10 * 86_400_000;
      at += own.between(every / 2, 2 * every)
    ) {
      windows.push([at, at + own.between(5_000, longest)]);
    }
    let next = 0;
    return () => {
      const now = time.now();
      while ((windows[next]?.[1] ?? Number.POSITIVE_INFINITY) < now) next += 1;
      const inside = (windows[next]?.[0] ?? Number.POSITIVE_INFINITY) <= now;
      return inside && faults.on && plan.kinds.includes(kind);
    };
  };
  const isDenied = outages('kms', 'kms denied', 300 * minute, 3 * minute);
  const isSealed = outages('vault', 'vault sealed', 200 * minute, 30 * minute);
  const servers = new Map<string, { model: PostgresModel; state: () => 'up' | 'down' | 'hanging' }>();
  const serverOf = (index: number) => {
    const host = `db-${Math.floor(index / secretsPerServer)}.simulated`;
    const known = servers.get(host);
    if (known) return { host, ...known };
    const down = outages(`${host}/down`, 'target down', 240 * minute, 10 * minute);
    const hanging = outages(`${host}/hanging`, 'target hanging', 300 * minute, 4 * minute);
    const model = new PostgresModel();
    model.onChange = (role) => oracle.touched(role);
    model.create('admin', { login: true, verifier: scramVerifier(SecretValue.of('admin-password')) });
    const server = { model, state: () => (down() ? 'down' : hanging() ? 'hanging' : 'up') } as const;
    servers.set(host, server);
    return { host, ...server };
  };
  connectModels(surroundings, (host) => servers.get(host));
  globalThis.fetch = async () => {
    await time.sleep(5);
    return new Response(undefined, { status: isSealed() ? 503 : 200 });
  };

  // --- Secrets Manager
  const lineOf = (arn: string): Line => {
    const line = lines.get(arn);
    if (!line) throw new Error(`no such secret: ${arn}`);
    return line;
  };
  const loginOf = async (arn: string, versionId: string): Promise<Login> => {
    const { SecretString = '{}' } = await engine.GetSecretValue({ SecretId: arn, VersionId: versionId });
    const { username, password } = JSON.parse(SecretString);
    return { versionId, username: String(username), password: String(password) };
  };
  const engine: Engine = createEngine({
    accountId: '123456789012',
    region: 'eu-central-1',
    now: () => new Date(time.now()),
    newArn: (name) => `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${name}-AbCdEf`,
    attempts: 3,
    retryDelayMs: 30_000,
    wait: time.sleep,
    invoke: (_, event) => rotate(event),
    async onLabelMoved({ arn, name, label, from, to }) {
      const line = lines.get(arn);
      if (line && label === 'AWSPENDING' && from !== to) overtaken += oracle.begun(line);
      if (!line || label !== 'AWSCURRENT') return;
      const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: arn });
      const wasPending = VersionIdsToStages[to]?.includes('AWSPENDING') ?? false;
      const left = from === undefined ? undefined : await loginOf(arn, from);
      oracle.moved(line, await loginOf(arn, to), left, wasPending);
      const isNextBegun = Object.keys(VersionIdsToStages).some(
        (id) => id !== to && VersionIdsToStages[id]?.includes('AWSPENDING'),
      );
      // It was abandoned while its last step ran, and the next one begun.
      if (isNextBegun) overtaken += oracle.begun(line);
      if (from !== undefined) line.rotations += 1;
      stamped(`${line.index}/AWSCURRENT moved from ${from} to ${to}`);
      const event = {
        version: '0',
        id: uuidOf(line.random),
        'detail-type': 'Secret Label Updated',
        source: 'aws.secretsmanager',
        account: '123456789012',
        time: new Date(Math.floor(time.now() / 1_000) * 1_000).toISOString(),
        region: 'eu-central-1',
        resources: [arn],
        detail: { name, labelUpdated: label, versionId: to },
      };
      const watchedOf = () => line;
      for (const subscriber of [
        thorough(oracle, 'announced', watchedOf, announce),
        thorough(oracle, 'published', watchedOf, invalidate),
        thorough(oracle, 'mirrored', watchedOf, mirror),
      ])
        deliveries.send(subscriber, event, line.random);
    },
  });
  const history = new LabelHistory(engine, time.now);
  const secretsManager = secretsManagerDouble(surroundings, engine, history, isDenied);

  // --- what functions have
  const unanswered = () => Object.assign(new Error('no answer'), { name: 'TimeoutError' });
  const throttled = () => Object.assign(new Error('throttled'), { name: 'ThrottlingException' });
  const asked = <T>(operation: string, effect: () => T | Promise<T>) =>
    outside(surroundings, { operation, effect, refusal: throttled, loss: unanswered, resends: true });
  const now = () => new Date(time.now() + (currentInvocation()?.skewMs ?? 0));
  /** As secretsManagerTime tells it, to the second. */
  const theirTime = () => new Date(Math.floor(time.now() / 1_000) * 1_000);
  const recordsOf = <State, AlertOf>(): Records<State, AlertOf> => {
    const records = recordsInMemory<State, AlertOf>();
    return {
      read: (key) => asked('dynamodb:GetItem', () => records.read(key)),
      // Sent again after a lost answer, a conditional write finds its own revision, and refuses.
      write: (key, next) => asked('dynamodb:PutItem', () => records.write(key, next)),
    };
  };
  const logOf = (line: Line) => {
    const note = (...said: unknown[]) => oracle.said(line, JSON.stringify(said), 'a log line');
    return { info: note, warn: note, debug: note };
  };
  const eventBridge = Object.assign(new EventBridgeClient({ region: 'eu-central-1' }), {
    send: (command: { input: { Entries?: readonly { DetailType?: string; Detail?: string }[] } }) =>
      asked('events:PutEvents', () => {
        for (const { DetailType = '', Detail = '{}' } of command.input.Entries ?? []) {
          const detail = JSON.parse(Detail);
          const line = lineOf(String(detail.secretArn));
          oracle.said(line, Detail, `the event ${DetailType}`);
          if (/^Secret (Rotated|Changed)$/.test(DetailType))
            oracle.told(line, 'announced', String(detail.currentVersionId));
          if (DetailType === 'Finding Opened')
            stamped(`${line.index}/found ${detail.kind}, ${detail.outcome}`);
          if (DetailType !== 'Rotation Failed' && DetailType !== 'Secret Rotated') continue;
          const event = {
            version: '0',
            id: uuidOf(line.random),
            'detail-type': DetailType,
            source: 'keyturn',
            account: '123456789012',
            time: new Date(time.now()).toISOString(),
            region: 'eu-central-1',
            resources: [],
            detail,
          };
          deliveries.send(alertFailure, event, line.random);
        }
        return { FailedEntryCount: 0 };
      }),
  });
  const bus = eventBus(eventBridge, 'keyturn');
  const sns = Object.assign(new SNSClient({ region: 'eu-central-1' }), {
    send: (command: { input: { Message?: string } }) =>
      asked('sns:Publish', () => {
        const { Message = '{}' } = command.input;
        const line = lineOf(String(JSON.parse(Message).secretArn));
        oracle.said(line, Message, 'an invalidation');
        oracle.told(line, 'published', String(JSON.parse(Message).versionId));
        for (const { subscriber } of line.agents) deliveries.send(subscriber, Message, line.random);
        return {};
      }),
  });
  const scheduler = Object.assign(new SchedulerClient({ region: 'eu-central-1' }), {
    send: (command: { input: CreateScheduleCommandInput }) =>
      asked('scheduler', () => {
        if (command instanceof ListSchedulesCommand)
          return { Schedules: [...schedules.keys()].map((Name) => ({ Name })) };
        const { Name = '', ScheduleExpression = '', Target } = command.input;
        if (schedules.has(Name))
          throw new ConflictException({ $metadata: {}, message: 'exists', Message: 'exists' });
        const input: unknown = JSON.parse(Target?.Input ?? '{}');
        const at = Date.parse(`${ScheduleExpression.slice('at('.length, -1)}Z`);
        schedules.set(Name, input);
        time.after(at - time.now(), () => {
          schedules.delete(Name);
          deliveries.send(revoke, input, lineOf(JSON.parse(Target?.Input ?? '{}').secretArn).random);
        });
        return {};
      }),
  });
  const runOf = <T>(name: string, line: Line, timeoutMs: number, work: () => Promise<T>) => {
    line.invocations += 1;
    const run = `${line.index}/${line.invocations}/${name}`;
    return invoke(surroundings, { name: run, random: line.random.fork(run), timeoutMs }, work);
  };

  // --- the functions
  const rotation = async (event: RotationEvent, line: Line) => {
    const beganAt = time.now();
    try {
      await step(event, line);
    } catch (error) {
      if (troubles.quietFor(quietMs, `${line.index}/`, beganAt) && (await isStillWanted(engine, event))) {
        oracle.violated('no step fails by itself', line.secret, `${event.Step}: ${nameOf(error)}`);
      }
      throw error;
    }
  };
  const step = (event: RotationEvent, line: Line) =>
    runOf(`rotate-secret.${event.Step}`, line, 30_000, () =>
      rotateSecret(event, {
        secretsManager,
        bus,
        log: logOf(line),
        count: () => undefined,
        now,
        pause: time.sleep,
        allowedSecrets: undefined,
      }),
    );
  const rotate = async (event: RotationEvent): Promise<void> => {
    const line = lineOf(event.SecretId);
    await history.note(line.arn);
    if (faults.strikes('concurrent', 0.02, line.random, `${line.index}/${line.invocations}`)) {
      time.after(line.random.between(0, 400), () => void rotation(event, line).catch(() => undefined));
    }
    const own = line.random.fork(`abandoned ${line.invocations}`);
    if (faults.strikes('abandoned', 0.02, own, `${line.index}/${line.invocations}`)) {
      time.after(own.between(0, 1_500), () => {
        void abandon(line).then((was) => (was ? askForRotation(line) : undefined));
      });
    }
    await rotation(event, line);
    time.after(1, () => void history.note(line.arn));
    const isOver = event.Step === 'finishSecret';
    if (isOver && faults.strikes('asked again', 0.05, own, `${line.index}/${line.invocations}`)) {
      time.after(own.between(10, 2_000), () => void askForRotation(line));
    }
  };
  const subscriber = (
    name: string,
    by: Subscriber['by'],
    handle: (event: unknown, line: Line) => Promise<void>,
    timeoutMs = 30_000,
  ): Subscriber => ({
    name,
    by,
    handle: (event) => {
      const line = lineOf(arnIn(event));
      return runOf(name, line, timeoutMs, () => handle(event, line));
    },
  });
  const graceSchedule = { groupName: 'grace', targetArn: 'revoke', roleArn: 'role', deadLetterArn: 'dead' };
  const announce = subscriber('announce-rotation', 'lambda', (event, line) =>
    announceRotation(event, {
      secretsManager,
      scheduler,
      bus,
      schedule: graceSchedule,
      log: logOf(line),
      now,
    }),
  );
  const invalidate = subscriber('invalidate-caches', 'lambda', (event, line) =>
    invalidateCaches(event, { secretsManager, sns, topicArn, count: () => undefined, log: logOf(line) }),
  );
  const nearVault = distantVault(surroundings, vault, isSealed);
  const digest = async () => mirrorDigest(Buffer.alloc(32, 7));
  const mirror = subscriber('sync-vault-mirror', 'queue', (event, line) =>
    syncRecord(
      { body: JSON.stringify(event) },
      { secretsManager, vault: nearVault, digest, log: logOf(line), count: () => undefined },
    ),
  );
  const revoke = subscriber('revoke-superseded', 'lambda', (event, line) =>
    revocation(event, line).then(() => undefined),
  );
  const revocation = (event: unknown, line: Line) =>
    revokeSuperseded(event, {
      secretsManager,
      bus,
      log: logOf(line),
      count: () => undefined,
      now: theirTime,
    });
  const rotationRecords = recordsOf<Rotations, PendingAlert>();
  const alertFailure = subscriber('alert-rotation-failure', 'lambda', (event, line) =>
    alertRotationFailure(event, {
      secretsManager,
      records: rotationRecords,
      send: (message: AlertMessage) =>
        asked('sns:Publish', () => oracle.alerted(line, message.state, JSON.stringify(message))),
      runbookUrl: 'runbook',
      now,
    }),
  );

  // --- health
  const healthRecords = recordsOf<ProbedHealth, Alert>();
  const healthAlerts = new Map<string, string>();
  const healthRandom = random.fork('health');
  const checkHealth = (run: number) =>
    invoke(
      surroundings,
      { name: `health/${run}`, random: healthRandom.fork(String(run)), timeoutMs: 55_000 },
      async () => {
        const check = {
          state: healthRecords,
          rule: { window: 3, failures: 2 },
          send: (backend: string, alert: Alert) =>
            asked('sns:Publish', () => {
              const { state } = alertMessage(backend, alert, 'runbook');
              const opened = state !== 'recovered';
              const last = healthAlerts.get(backend);
              const key = `${state} ${alert.since} ${alert.at}`;
              const wasOpen = last !== undefined && !last.startsWith('recovered');
              if (last !== key && opened === wasOpen) oracle.violated('one alert an episode', backend, key);
              healthAlerts.set(backend, key);
            }),
          now,
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
          ['vault', () => probeVault(vaultAddress, nearVault, 8_000)],
        ]);
        await checkBackends(systems, check);
        const probes = targets.map((target): [string, ProbeBackend] => [
          `target ${target.name}`,
          () => probeTarget(secretsManager, target, 8_000),
        ]);
        await checkBackends(new Map(probes), check);
      },
    );

  // --- the reconciler
  const findings = recordsOf<OpenFindings, FindingsAlert>();
  const reconcileRandom = random.fork('reconcile');
  const reconcile = (run: number) => {
    const name = `reconcile/${run}`;
    const endsAt = time.now() + 900_000;
    return invoke(surroundings, { name, random: reconcileRandom.fork(name), timeoutMs: 900_000 }, () =>
      reconcileFleet(
        { action: 'reconcile', dryRun: false, isScheduled: true, round: 1 },
        {
          secretsManager,
          scheduler,
          schedule: graceSchedule,
          adminSecretsPrefix: 'keyturn/admin/',
          rotateFunctionArn: functionArn,
          takeStep: (Step, SecretId, ClientRequestToken) =>
            asked('lambda:Invoke', () =>
              rotation({ Step, SecretId, ClientRequestToken }, lineOf(SecretId)).then(
                () => undefined,
                (error: unknown) => (error instanceof Error ? error.name : 'Unhandled'),
              ),
            ),
          revoke: (ended) =>
            asked('lambda:Invoke', () => {
              const line = lineOf(ended.secretArn);
              return runOf('revoke-superseded', line, 30_000, () => revocation(ended, line));
            }),
          declarations: { list: async () => ({ known: [], unreadable: [] }), read: async () => undefined },
          turns: {
            write: paced(10, { now: time.now, pause: time.sleep }),
            list: paced(10, { now: time.now, pause: time.sleep }),
          },
          now: theirTime,
          report: {
            records: findings,
            bus,
            eventOf: findingEvent,
            send: () => asked('sns:Publish', () => undefined),
            runbookUrl: 'runbook',
            now,
          },
          remainingMs: () => endsAt - time.now(),
          log: { warn: (_, fields) => stamped(`reconcile/ not examined: ${JSON.stringify(fields)}`) },
        },
      ),
    );
  };

  const reconcileMirrors = (run: number) => {
    const name = `reconcile-mirrors/${run}`;
    return invoke(surroundings, { name, random: reconcileRandom.fork(name), timeoutMs: 900_000 }, () =>
      answerMirrors(
        { action: 'reconcile', dryRun: false },
        {
          secretsManager,
          vault: nearVault,
          digest,
          ownArns: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/',
          report: {
            records: findings,
            bus,
            send: () => asked('sns:Publish', () => undefined),
            runbookUrl: 'runbook',
            now,
          },
          isLate: () => false,
          log: { info: () => undefined, warn: () => undefined },
        },
      ),
    );
  };

  // --- the fleet
  const admins = new Map<string, string>();
  const adminOf = async (host: string): Promise<string> => {
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
  };

  async function addLine(index: number): Promise<Line> {
    const own = random.fork(`secret ${index}`);
    const { host, model } = serverOf(index);
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
    model.create(group, adopted || !dual ? { login: true, verifier } : {});
    if (dual && !adopted) {
      model.create(username, {
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
      current: undefined,
      rotations: 0,
      mirroredAt: -1,
      alerts: [],
      invocations: 0,
    };
    oracle.watch(line);
    lines.set(line.arn, line);
    const masterarn = await adminOf(host);
    const tags = {
      agent_id: agentId,
      managed_by: 'agent-platform',
      'keyturn:grace': `${graceMs / minute}m`,
      ...(mirrored && { 'keyturn:mirror': `agents/${agentId}/credentials` }),
      ...(!dual && { 'keyturn:strategy': 'single-user' }),
    };
    for (let instance = 0; instance < 2; instance += 1) line.agents.push(agentOf(line, instance));
    await engine.CreateSecret({
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
    await history.note(line.arn);
    return line;
  }

  function agentOf(line: Line, instance: number): AgentInstance {
    const name = `${line.index}/agent-${instance}`;
    const own = line.random.fork(name);
    const source = secretsManagerSource(secretsManager);
    const confirmed = new Map<string, number>();
    const cache = new SecretCache(
      {
        async fetch(secretId, which) {
          const beganAt = time.now();
          const version = await source.fetch(secretId, which);
          if (version.stages.includes('AWSCURRENT')) confirmed.set(version.versionId, beganAt);
          return version;
        },
      },
      { now: time.now, wait: time.sleep, random: () => own.next(), staleMs: staleMsOf(line) },
    );
    const agent: AgentInstance = {
      cache,
      random: own,
      name,
      floor: -1,
      confirmed,
      subscriber: {
        name,
        by: 'queue',
        async handle(event) {
          asAgent(name, own, () =>
            receive(String(event), line.agentId, (notice) => {
              cache.notice(notice);
              agent.floor = Math.max(agent.floor, oracle.placeOf(line, notice.versionId));
            }),
          );
        },
      },
    };
    return agent;
  }

  const staleMsOf = (line: Watched) => line.graceMs - 30_000;

  /** An agent asks for its credential, and logs in with it. */
  async function use(line: Line, agent: AgentInstance): Promise<'served' | 'unavailable'> {
    agentRequests += 1;
    const least = agent.floor;
    try {
      let version = await agent.cache.get(line.secret);
      const works = () => {
        const { username, password } = version.fields;
        if (!(password instanceof SecretValue)) return false;
        return line.model.worksAs(String(username), password.reveal(), line.group);
      };
      if (!works() && !line.dual) version = await agent.cache.refresh(line.secret);
      const place = oracle.placeOf(line, version.versionId);
      const isOvertaken = line.superseded.some(
        (one) => one.overtaken && one.login.versionId === version.versionId,
      );
      if (line.dual && !isOvertaken && !works()) {
        oracle.violated('what an agent is served works', line.secret, `version ${version.versionId}`);
      }
      if (place < least) {
        oracle.violated(
          "an agent's version never goes back",
          line.secret,
          `${agent.name}: ${place} after ${least}`,
        );
      }
      const confirmed = agent.confirmed.get(version.versionId) ?? Number.NEGATIVE_INFINITY;
      if (time.now() - confirmed > staleMsOf(line)) {
        oracle.violated('last known good never past its bound', line.secret, agent.name);
      }
      agent.floor = Math.max(agent.floor, place);
      return 'served';
    } catch {
      return 'unavailable';
    }
  }

  let active = true;
  const agentLife = (line: Line, agent: AgentInstance) => {
    const next = () => {
      if (!active) return;
      asAgent(agent.name, agent.random, () => void use(line, agent));
      time.after(agent.random.between(2 * minute, 14 * minute), next);
    };
    time.after(agent.random.between(0, 5 * minute), next);
  };

  /** RotateSecret, as a schedule or a person calls it. */
  async function askForRotation(line: Line): Promise<void> {
    try {
      await engine.RotateSecret({
        SecretId: line.arn,
        ClientRequestToken: uuidOf(line.random),
        RotationLambdaARN: functionArn,
      });
    } catch (error) {
      if (!(error instanceof SecretsManagerError)) throw error;
    }
    await history.note(line.arn);
  }

  async function askEarly(line: Line, own: Random): Promise<void> {
    const request = await earlyRequest(engine, line, time.now(), own);
    if (request) await revoke.handle(request).catch(() => undefined);
  }

  /** Whether a rotation was under way. */
  async function abandon(line: Line): Promise<boolean> {
    let was = false;
    const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: line.arn });
    for (const [versionId, stages] of Object.entries(VersionIdsToStages)) {
      if (!stages.includes('AWSPENDING') || stages.includes('AWSCURRENT')) continue;
      await engine.UpdateSecretVersionStage({
        SecretId: line.arn,
        VersionStage: 'AWSPENDING',
        RemoveFromVersionId: versionId,
      });
      was = true;
    }
    return was;
  }

  const spacing = (line: Line) => line.graceMs + line.random.between(10, 40) * minute;
  const rotationLife = (line: Line) => {
    let asked = 0;
    const next = async () => {
      if (!active || asked >= plan.rotations) return;
      asked += 1;
      const abandons = faults.strikes('abandoned', 0.3, line.random, `${line.index}/asked ${asked}`);
      if (abandons) await abandon(line);
      await askForRotation(line);
      const own = line.random.fork(`early ${asked}`);
      if (faults.strikes('asked early', 0.3, own, `${line.index}/asked ${asked}`)) {
        time.after(own.between(0, line.graceMs), () => void askEarly(line, own));
      }
      time.after(spacing(line), () => void next());
    };
    time.after(line.random.between(0, 60 * minute), () => void next());
  };

  // --- the run
  for (const index of plan.secrets) await addLine(index);
  const all = [...lines.values()];
  vault.onWrite = (path, data) => {
    const line = all.find(({ secret }) => secret === path);
    if (!line) return;
    const password = String(data.password);
    oracle.mirrored(
      line,
      password,
      (value) =>
        [line.current, ...line.superseded.map(({ login }) => login)].find(
          (login) => login?.password === value,
        )?.versionId,
    );
  };
  vault.onRemove = (path) => {
    if (all.some(({ secret }) => secret === path))
      oracle.violated('a mirror is never gone', path, 'it was removed');
  };
  for (const line of all) {
    rotationLife(line);
    for (const agent of line.agents) agentLife(line, agent);
  }
  let healthRuns = 0;
  const healthLife = () => {
    if (!active) return;
    healthRuns += 1;
    checkHealth(healthRuns).catch(() => undefined);
    time.after(10 * minute, healthLife);
  };
  time.after(minute, healthLife);
  let reconciliations = 0;
  const reconcileLife = () => {
    if (!active || !faults.on) return;
    reconciliations += 1;
    reconcile(reconciliations).catch(() => undefined);
    reconcileMirrors(reconciliations).catch(() => undefined);
    time.after(15 * minute, reconcileLife);
  };
  time.after(7 * minute, reconcileLife);

  const afterEach = () => {
    events += 1;
    return oracle.holds();
  };
  const run = (ms: number) => time.runUntil(time.now() + ms, afterEach);
  await run(plan.rotations * 45 * minute + 60 * minute);
  faults.end();
  const ended = () => oracle.violations.length > 0;
  if (!ended()) await run(120 * minute);
  if (!ended()) await converge();
  active = false;

  /** Faults are over: what was lost is delivered again, one more rotation is asked for, and then everything must be well. */
  async function converge(): Promise<void> {
    const mended = Promise.all([reconcile(0), reconcileMirrors(0)]);
    await run(30 * minute);
    await mended;
    if (ended()) return;
    for (const line of all) if (!ended()) await mustHaveConverged(line);
    for (const line of all) await askForRotation(line);
    await run(90 * minute);
    if (ended()) return;
    for (const line of all) if (!ended()) await mustHaveConverged(line, true);
    for (const [host, { model }] of servers) {
      if (model.sessions > 0) oracle.violated('every session ends', host, `${model.sessions} are open`);
    }
    for (const [backend, key] of healthAlerts) {
      if (!key.startsWith('recovered')) oracle.violated('every episode ends', backend, key);
    }
    if (schedules.size > 0) oracle.violated('no schedule is left', '', `${schedules.size} are`);
  }

  /** `clean`: a rotation went through since, without a fault. */
  async function mustHaveConverged(line: Line, clean = false): Promise<void> {
    const { current, model, group, secret } = line;
    const violated = (invariant: string, what: string) => oracle.violated(invariant, secret, what);
    const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: line.arn });
    const pending = Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSPENDING'));
    if (pending && pending[0] !== current?.versionId) {
      violated('no rotation is left behind', JSON.stringify(engine.rotationOf(line.arn)?.error ?? 'pending'));
    }
    if (!current || !model.worksAs(current.username, current.password, group)) {
      violated('AWSCURRENT authenticates and has its grants', 'after everything converged');
    }
    for (const { login, until } of line.superseded) {
      if (
        until < time.now() &&
        login.password !== current?.password &&
        model.accepts(login.username, login.password)
      ) {
        // An adopted login whose revocation was missed until the next rotation: see docs/reliability.md.
        if (login.username === group) leftBehind += 1;
        else
          violated('a superseded credential is refused once its grace is over', `version ${login.versionId}`);
      }
    }
    if (line.mirrored) {
      const mirror = await vault.readData(secret);
      if (mirror?.data.password !== current?.password)
        violated('a mirror follows AWSCURRENT', 'it is behind');
    }
    if (clean && line.alerts.at(-1)?.state === 'failed')
      violated('every episode ends', 'the alert of a failure stays open');
    for (const agent of line.agents) {
      let served = 'nothing';
      asAgent(agent.name, agent.random, () => {
        agent.cache.get(secret).then(
          ({ versionId }) => {
            served = versionId;
          },
          (error: unknown) => {
            served = error instanceof Error ? `${error.name}, ${error.message}` : 'an error';
          },
        );
      });
      await run(10_000);
      if (served !== current?.versionId) violated('an agent follows AWSCURRENT', `${agent.name}: ${served}`);
    }
  }

  const counts: Record<string, number> = {};
  for (const { kind } of faults.struck) counts[kind] = (counts[kind] ?? 0) + 1;
  return {
    rotations: all.reduce((sum, { rotations }) => sum + rotations, 0),
    events,
    agentRequests,
    overtaken,
    leftBehind,
    faults: counts,
    struck: faults.struck.map(({ id }) => id),
    violations: oracle.violations,
  };
}

function arnIn(event: unknown): string {
  if (typeof event !== 'object' || event === null) throw new Error('an event is an object');
  if ('secretArn' in event) return String(event.secretArn);
  if ('resources' in event && Array.isArray(event.resources) && event.resources.length > 0) {
    return String(event.resources[0]);
  }
  if ('detail' in event) return arnIn(event.detail);
  throw new Error('the event names no secret');
}
