import { findingEvent } from '../functions/reconcile-fleet/finding-event.ts';
import {
  type FleetParts,
  nextRound,
  reconcileFleet,
  reconcileRequest,
} from '../functions/reconcile-fleet/reconcile-fleet.ts';
import { createEngine, type Engine } from '../local/secrets-manager/engine.ts';
import { paced } from '../shared/secrets-manager/pace.ts';
import { schedulerClientOf } from '../test/integration/reconciliation/scheduler.ts';
import { clientOf } from '../test/integration/rotation/in-process.ts';
import { recordsInMemory } from '../test/unit/state/in-memory.ts';
import type { Figure } from './figure.ts';

const secrets = 10_000;
const functionArn = 'arn:aws:lambda:eu-central-1:000000000000:function:keyturn-bench-rotate-secret';
const dayMs = 86_400_000;

/** AWS's quotas a region, in calls a second; and what a call takes, of which ten are under way, but for lists of secrets. */
const quotas: Readonly<Record<string, number>> = {
  ListSecrets: 100,
  ListSecretVersionIds: 50,
  RotateSecret: 50,
  UpdateSecretVersionStage: 50,
};
const otherQuota = 10_000;
const callMs = 45;
const atOnce = 10;

/**
 * What an hour's look at a fleet of ten thousand costs: all well, and all of it overdue at once. Time is virtual, and an upper bound: each call takes as long
 * as AWS's quota or its latency makes it, whichever is longer, and who waits for a turn moves the clock.
 */
export async function reconciliation(): Promise<readonly Figure[]> {
  const well = await looked(0);
  const overdue = await looked(33 * dayMs);
  return [
    {
      name: `Calls to look at ${secrets} secrets, all well`,
      value: well.calls,
      unit: 'calls',
      goal: '<= 150',
      holds: well.calls <= 150,
    },
    {
      name: 'The same, in virtual time',
      value: Math.round(well.seconds),
      unit: 's',
      goal: '<= 60',
      holds: well.seconds <= 60,
    },
    {
      name: `Calls to rotate ${secrets} that are all overdue`,
      value: overdue.calls,
      unit: 'calls',
      goal: '<= 4 each',
      holds: overdue.calls <= 4 * secrets && overdue.begun === secrets,
    },
    {
      name: `The same, in virtual time, in ${overdue.runs} run(s) of 15 minutes`,
      value: Math.round(overdue.seconds),
      unit: 's',
      goal: '< 3600',
      holds: overdue.seconds < 3_600,
    },
    {
      name: 'The same, RotateSecret in its busiest second',
      value: overdue.busiest,
      unit: 'calls',
      goal: '<= 50',
      holds: overdue.busiest <= 50,
    },
  ];
}

async function looked(afterMs: number) {
  let clock = Date.UTC(2026, 0, 1);
  const engine: Engine = createEngine({
    now: () => new Date(clock),
    attempts: 1,
    wait: async () => undefined,
    // What a rotation does is another figure's: it ends at once.
    invoke: async (_, { Step: step, SecretId, ClientRequestToken }) => {
      if (step === 'createSecret')
        await engine.PutSecretValue({
          SecretId,
          ClientRequestToken,
          SecretString: '{}',
          VersionStages: ['AWSPENDING'],
        });
      if (step === 'finishSecret') {
        const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId });
        const current = Object.keys(VersionIdsToStages).find((id) =>
          VersionIdsToStages[id]?.includes('AWSCURRENT'),
        );
        await engine.UpdateSecretVersionStage({
          SecretId,
          VersionStage: 'AWSCURRENT',
          MoveToVersionId: ClientRequestToken,
          ...(current !== undefined && { RemoveFromVersionId: current }),
        });
      }
    },
  });
  for (let index = 0; index < secrets; index += 1) {
    const { ARN: SecretId } = await engine.CreateSecret({
      Name: `agents/agent-${index}/credentials`,
      SecretString: '{}',
      Tags: [
        { Key: 'agent_id', Value: `agent-${index}` },
        { Key: 'managed_by', Value: 'agent-platform' },
        // Nobody schedules the end of a grace period here.
        { Key: 'keyturn:grace', Value: '0s' },
      ],
    });
    await engine.RotateSecret({
      SecretId,
      RotationLambdaARN: functionArn,
      RotationRules: { AutomaticallyAfterDays: 30 },
      RotateImmediately: false,
    });
  }
  await engine.idle();
  clock += afterMs;

  const start = clock;
  const calls = new Map<string, number>();
  const rotations = new Map<number, number>();
  const charge = (operation: string) => {
    calls.set(operation, (calls.get(operation) ?? 0) + 1);
    if (operation === 'RotateSecret') {
      const second = Math.floor(clock / 1_000);
      rotations.set(second, (rotations.get(second) ?? 0) + 1);
    }
    const latencyMs = operation === 'ListSecrets' ? callMs : callMs / atOnce;
    clock += Math.max(1_000 / (quotas[operation] ?? otherQuota), latencyMs);
  };
  const time = {
    now: () => clock,
    pause: async (ms: number) => {
      clock += ms;
    },
  };
  const client = clientOf(engine, charge);
  let runStart = clock;
  const parts: FleetParts = {
    secretsManager: client,
    scheduler: schedulerClientOf(new Map(), { before: () => charge('scheduler'), after: () => undefined }),
    schedule: { groupName: 'g', targetArn: functionArn, roleArn: functionArn, deadLetterArn: functionArn },
    adminSecretsPrefix: 'keyturn/admin/',
    rotateFunctionArn: functionArn,
    declarations: { read: async () => undefined, list: async () => ({ known: [], unreadable: [] }) },
    takeStep: async () => undefined,
    revoke: async () => 'revoked',
    turns: { write: paced(10, time), list: paced(25, time) },
    now: () => new Date(clock),
    remainingMs: () => 900_000 - (clock - runStart),
    log: { warn: (message, fields) => console.error(message, fields) },
    report: {
      records: recordsInMemory(),
      bus: {
        async publish(events) {
          for (let sent = 0; sent < events.length; sent += 10) charge('PutEvents');
        },
      },
      eventOf: findingEvent,
      send: async () => charge('Publish'),
      runbookUrl: 'https://runbook.example',
      now: () => new Date(clock),
    },
  };
  let request: ReturnType<typeof nextRound> = reconcileRequest.parse({
    action: 'reconcile',
    isScheduled: true,
  });
  let runs = 0;
  while (request) {
    runs += 1;
    runStart = clock;
    request = nextRound(request, await reconcileFleet(request, parts));
    await engine.idle();
  }
  return {
    calls: [...calls.values()].reduce((sum, count) => sum + count, 0),
    seconds: (clock - start) / 1_000,
    begun: calls.get('RotateSecret') ?? 0,
    busiest: Math.max(0, ...rotations.values()),
    runs,
  };
}
