import { PassThrough, Writable } from 'node:stream';
import { Command } from 'commander';
import { terminal } from '../../../cli/output.ts';
import { reconcileCommand } from '../../../cli/reconcile.ts';
import { unstickCommand } from '../../../cli/unstick.ts';
import { findingEvent } from '../../../functions/reconcile-fleet/finding-event.ts';
import type { ReconcileParts } from '../../../functions/reconcile-fleet/kind.ts';
import {
  type FleetParts,
  reconcileFleet,
  reconcileRequest,
} from '../../../functions/reconcile-fleet/reconcile-fleet.ts';
import { unstick, unstickRequest } from '../../../functions/reconcile-fleet/unstick.ts';
import { revokeSuperseded } from '../../../functions/revoke-superseded/revoke-superseded.ts';
import {
  type RotateSecretDependencies,
  rotateSecret,
} from '../../../functions/rotate-secret/rotate-secret.ts';
import { createClock } from '../../../local/secrets-manager/clock.ts';
import { dispatch } from '../../../local/secrets-manager/dispatch.ts';
import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import type { RotationEvent } from '../../../local/secrets-manager/rotation.ts';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretJson as Json } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import type { OutgoingEvent } from '../../../shared/notification/event-bus.ts';
import { type Declaration, readDeclaration } from '../../../shared/provisioning/declaration.ts';
import type { KnownDeclaration } from '../../../shared/provisioning/declarations-state.ts';
import { findingsState } from '../../../shared/reconciliation/report-findings.ts';
import type { Step } from '../../../shared/rotation/rotation.ts';
import { commandsOf } from '../../runbook/page.ts';
import { clientOf, witness } from '../rotation/in-process.ts';
import { adminOf, agentOn, type postgresForTests } from '../rotation/setting.ts';
import { dynamoClientOf, type InMemoryTable } from './dynamodb.ts';
import { type InMemoryScheduler, schedulerClientOf } from './scheduler.ts';

export const functionArn = 'arn:aws:lambda:eu-central-1:000000000000:function:keyturn-test-rotate-secret';
export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** Told of every outside call of the reconciler, before it is made and after: a test may have it die there. */
export interface Watch {
  /** `asksAgain`: an AWS client makes it, which tries once more by itself where it can. */
  before(call: string, asksAgain?: boolean): void;
  after(call: string): void;
}
export const unwatched: Watch = { before: () => undefined, after: () => undefined };

/** Secrets Manager as a function finds it, each of whose calls the watch is told of. */
export const secretsManagerOf = (engine: Engine, { before, after }: Watch) =>
  clientOf(engine, (operation) => before(operation, true), after, 2);

/** How often Secrets Manager tries a rotation, and what becomes of each step that it asks for: once, unless told otherwise. */
export interface Rotating {
  readonly attempts?: number;
  readonly invoke?: (event: RotationEvent, take: (watch: Watch) => Promise<void>) => Promise<void>;
  /** Has another function do what a reconciler asks it for. */
  readonly elsewhere?: <T>(work: () => Promise<T>) => Promise<T>;
}

export type Fleet = Awaited<ReturnType<typeof fleetOn>>;

/** A fleet on one PostgreSQL server and the engine, whose clock can be moved; rotate-secret fails where it is told to. */
export function fleetOn(
  server: Awaited<ReturnType<typeof postgresForTests>>,
  { attempts = 1, invoke = (_, take) => take(unwatched), elsewhere = (work) => work() }: Rotating = {},
) {
  const clock = createClock();
  const { parts: rotation, said: heard } = witness();
  let failing: ((step: Step) => void) | undefined;
  let revocationsFail = false;
  let remainingMs = Number.POSITIVE_INFINITY;
  const engine: Engine = createEngine({
    now: clock.now,
    attempts,
    wait: async () => undefined,
    invoke: async (_, event) => {
      failing?.(event.Step);
      await invoke(event, (watch) => rotateSecret(event, rotationParts(watch)));
    },
  });
  // To make a client and have it make its first call takes as long as ten calls.
  const unwatchedClient = secretsManagerOf(engine, unwatched);
  const clientTelling = (watch: Watch) =>
    watch === unwatched ? unwatchedClient : secretsManagerOf(engine, watch);
  const rotationParts = (watch: Watch): RotateSecretDependencies => ({
    ...rotation,
    secretsManager: clientTelling(watch),
    bus: {
      async publish(published) {
        watch.before('PutEvents');
        await rotation.bus.publish(published);
        watch.after('PutEvents');
      },
    },
  });
  const said: string[] = [];
  const alerts: AlertMessage[] = [];
  const events: OutgoingEvent[] = [];
  const warnings: Readonly<Record<string, string>>[] = [];
  const scheduler: InMemoryScheduler = new Map();
  const declarations = new Map<string, KnownDeclaration>();
  const table: InMemoryTable = new Map();

  const partsOf = (watch: Watch): FleetParts => {
    const watched = async <T>(call: string, work: () => Promise<T>): Promise<T> => {
      watch.before(call);
      const result = await work();
      watch.after(call);
      return result;
    };
    const asks: Pick<ReconcileParts, 'takeStep' | 'revoke'> = {
      takeStep: (Step, SecretId, ClientRequestToken) =>
        watched(Step, () =>
          elsewhere(() =>
            rotateSecret(
              { Step, SecretId, ClientRequestToken },
              { ...rotation, secretsManager: unwatchedClient },
            ).then(
              () => undefined,
              (error: unknown) => (error instanceof Error ? error.name : 'UnknownError'),
            ),
          ),
        ),
      revoke: (ended) =>
        watched('revoke', async () => {
          if (revocationsFail) return { errorClass: 'Runtime.OutOfMemory' };
          return elsewhere(() =>
            revokeSuperseded(ended, {
              ...rotation,
              now: clock.now,
              bus: { publish: async (published) => void events.push(...published) },
              secretsManager: unwatchedClient,
            }).catch((error: unknown) => ({
              errorClass: error instanceof Error ? error.name : 'UnknownError',
            })),
          );
        }),
    };
    return {
      secretsManager: clientTelling(watch),
      scheduler: schedulerClientOf(scheduler, watch),
      schedule: {
        groupName: 'grace',
        targetArn: functionArn,
        roleArn: functionArn,
        deadLetterArn: functionArn,
      },
      adminSecretsPrefix: 'keyturn/admin/',
      ...asks,
      rotateFunctionArn: functionArn,
      declarations: {
        read: (agentId) => watched('read declaration', async () => declarations.get(agentId)),
        list: () =>
          watched('read declarations', async () => ({ known: [...declarations.values()], unreadable: [] })),
      },
      turns: { write: async () => undefined, list: async () => undefined },
      now: clock.now,
      remainingMs: () => remainingMs,
      log: { warn: (message, fields) => void warnings.push({ message, ...fields }) },
      report: {
        records: findingsState(dynamoClientOf(table, watch), 'state'),
        bus: {
          publish: (published) => watched('PutEvents', async () => void events.push(...published)),
        },
        eventOf: findingEvent,
        send: (alert) => watched('Publish', async () => void alerts.push(alert)),
        runbookUrl: 'https://runbook.example',
        now: clock.now,
      },
    };
  };
  const untold = partsOf(unwatched);
  const reconcile = (request: object = {}, watch: Watch = unwatched) => {
    // Times are by the second, so a run within one of the last change couldn't be told from one before it.
    clock.advance(1_001);
    return reconcileFleet(
      reconcileRequest.parse({ action: 'reconcile', ...request }),
      watch === unwatched ? untold : partsOf(watch),
    );
  };

  /** As the deployed function answers, its answers through JSON and back. */
  const ask = async (_: unknown, request: object): Promise<unknown> => {
    const asked = 'action' in request ? request.action : undefined;
    const answer =
      asked === 'unstick' ? await unstick(unstickRequest.parse(request), untold) : await reconcile(request);
    return JSON.parse(JSON.stringify(answer));
  };

  let masterarn: string | undefined;
  const adminSecret = async () => {
    masterarn ??= (
      await engine.CreateSecret({
        Name: 'keyturn/admin/postgres',
        SecretString: adminOf(server).serialize().reveal(),
      })
    ).ARN;
    return masterarn;
  };

  return {
    engine,
    clock,
    /** What the command printed. */
    said,
    /** What rotate-secret logged and published. */
    heard,
    alerts,
    events,
    /** What the reconciler logged. */
    warnings,
    scheduler,
    /** What is known of the findings of a kind, as the table holds it. */
    known: (kind: string) => untold.report.records.read(kind),
    reconcile,
    /** Rotations fail from now on: it throws what the function would have thrown, or is undefined. */
    failRotations(fails: ((step: Step) => void) | undefined) {
      failing = fails;
    },
    /** Says what the agent is declared to be, as `keyturn apply` does. */
    async declare({ group }: Agent, postgres: object = {}, more: object = {}): Promise<Declaration> {
      const declaration = readDeclaration({
        agentId: group,
        postgres: {
          adminSecretArn: await adminSecret(),
          host: '127.0.0.1',
          port: server.port,
          ssl: false,
          database: 'postgres',
          ...postgres,
        },
        ...more,
      });
      declarations.set(group, { declaration, phase: 'declared', revision: 1 });
      return declaration;
    },
    /** How much time a run has left, from now on. */
    giveTime(ms: number) {
      remainingMs = ms;
    },
    failRevocations(fail: boolean) {
      revocationsFail = fail;
    },
    /** An agent of this group, with its secret, which rotates every thirty days. `login`: one that it had before. */
    async addAgent(group: string, tags: Record<string, string> = {}, login?: SecretJson): Promise<Agent> {
      const agent = login ?? (await agentOn(server, group));
      const { ARN: arn } = await engine.CreateSecret({
        Name: `agents/${group}/credentials`,
        SecretString: agent
          .with({ masterarn: await adminSecret() })
          .serialize()
          .reveal(),
        Tags: Object.entries({ agent_id: group, managed_by: 'agent-platform', ...tags }).map(
          ([Key, Value]) => ({ Key, Value }),
        ),
      });
      await engine.RotateSecret({
        SecretId: arn,
        RotationLambdaARN: functionArn,
        RotationRules: { AutomaticallyAfterDays: 30 },
        RotateImmediately: false,
      });
      await engine.idle();
      return { group, arn, name: `agents/${group}/credentials` };
    },
    async rotate({ arn }: Agent): Promise<void> {
      await engine.RotateSecret({ SecretId: arn });
      await engine.idle();
    },
    async labels({ arn }: Agent): Promise<Readonly<Record<string, readonly string[]>>> {
      return (await engine.DescribeSecret({ SecretId: arn })).VersionIdsToStages ?? {};
    },
    async valueOf({ arn }: Agent, stage = 'AWSCURRENT'): Promise<SecretJson> {
      const { SecretString = '' } = await engine.GetSecretValue({ SecretId: arn, VersionStage: stage });
      return Json.parse(SecretValue.of(SecretString));
    },
    /** Runs the commands that a runbook page tells, for this secret, and gives the last one's exit code. */
    async follow(page: string, { name }: Agent): Promise<number> {
      const lines = commandsOf(page).map((line) =>
        line.replace('SECRET', name).replace('ROTATE_FUNCTION_ARN', functionArn),
      );
      let code = 0;
      for (const line of lines) {
        const [command, ...words] = line.split(/\s+/);
        if (command === 'keyturn') code = await run(words, ask, said);
        // Logs are a deployment's: the page's end-to-end test reads them.
        else if (words[0] !== 'logs') await awsCommand(engine, words);
        await engine.idle();
      }
      return code;
    },
    keyturn: (line: string) => run(line.split(/\s+/), ask, said),
  };
}

export interface Agent {
  readonly group: string;
  readonly arn: string;
  readonly name: string;
}

/** What the AWS CLI would call: `secretsmanager rotate-secret --secret-id ID --rotation-rules Key=value --no-flag`. */
async function awsCommand(engine: Engine, [, operation = '', ...words]: readonly string[]): Promise<void> {
  const pascal = (name: string) =>
    name.replaceAll(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase());
  const input: Record<string, unknown> = {};
  for (const [index, word] of words.entries()) {
    if (!word.startsWith('--')) continue;
    const value = words[index + 1] ?? '';
    if (word.startsWith('--no-')) input[pascal(word.slice(5))] = false;
    else if (/^\w+=\d+$/.test(value))
      input[pascal(word.slice(2))] = { [value.split('=')[0] ?? '']: Number(value.split('=')[1]) };
    else input[pascal(word.slice(2))] = value;
  }
  const keys: Readonly<Record<string, string>> = { RotationLambdaArn: 'RotationLambdaARN' };
  const named = Object.entries(input).map(([key, value]) => [keys[key] ?? key, value]);
  await dispatch(engine, pascal(operation), Object.fromEntries(named));
}

/** Runs the command and gives its exit code. */
async function run(
  words: readonly string[],
  ask: Parameters<typeof reconcileCommand>[0],
  said: string[],
): Promise<number> {
  process.exitCode = 0;
  const stream = () => new Writable({ write: (line, _, done) => done(void said.push(String(line))) });
  const output = terminal({ stdin: new PassThrough(), stdout: stream(), stderr: stream() });
  const program = new Command('keyturn')
    .exitOverride()
    .addCommand(reconcileCommand(ask, output))
    .addCommand(unstickCommand(ask, output));
  await program.parseAsync([...words], { from: 'user' });
  const code = Number(process.exitCode);
  process.exitCode = 0;
  return code;
}
