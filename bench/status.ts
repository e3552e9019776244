import { Readable } from 'node:stream';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import picocolors from 'picocolors';
import { cellsOf, statusHead } from '../cli/fleet/format.ts';
import { readFleet } from '../cli/fleet/read.ts';
import { rowsOf } from '../cli/fleet/rows.ts';
import { table } from '../cli/table.ts';
import { createEngine } from '../local/secrets-manager/engine.ts';
import { clientOf } from '../test/integration/rotation/in-process.ts';
import type { Figure } from './figure.ts';

const secretCount = 10_000;
const instancesEach = 3;
/** Of an item of about 330 bytes, a megabyte holds so many: a page of DynamoDB's Scan. */
const itemsAPage = 3_000;
/** As measured for Secrets Manager; those of the others are like it. */
const latencyMs = 44;

/**
 * `keyturn status` of ten thousand secrets with three instances each: calls, and seconds of the processor, without the
 * engine's, with AWS's latency added.
 */
export async function statusOfTenThousand(): Promise<readonly Figure[]> {
  const calls = { ListSecrets: 0, Scan: 0, ListSchedules: 0, others: 0 };
  const engine = createEngine();
  const adoptions: object[] = [];
  for (let at = 0; at < secretCount; at += 1) {
    const { ARN, VersionId } = await engine.CreateSecret({
      Name: `agents/agent-${at}/credentials`,
      SecretString: '{}',
      Tags: [
        { Key: 'agent_id', Value: `agent-${at}` },
        { Key: 'managed_by', Value: 'agent-platform' },
      ],
    });
    for (let instance = 0; instance < instancesEach; instance += 1)
      adoptions.push(adoption(ARN, VersionId ?? '', `pod-${instance}`));
  }
  let began = process.cpuUsage();
  let ofEngineMs = 0;
  const secretsManager = clientOf(
    engine,
    (operation) => {
      calls[operation === 'ListSecrets' ? operation : 'others'] += 1;
      began = process.cpuUsage();
    },
    () => {
      ofEngineMs += sinceMs(began);
    },
  );
  const dynamo = new DynamoDBClient({
    ...config,
    requestHandler: answering(() => {
      const from = calls.Scan * itemsAPage;
      calls.Scan += 1;
      const Items = adoptions.slice(from, from + itemsAPage);
      const isLast = from + itemsAPage >= adoptions.length;
      return {
        Items,
        Count: Items.length,
        ...(!isLast && { LastEvaluatedKey: { id: { S: String(from) } } }),
      };
    }),
  });
  const scheduler = new SchedulerClient({
    ...config,
    requestHandler: answering(() => {
      calls.ListSchedules += 1;
      return { Schedules: [] };
    }),
  });
  const readers = {
    secretsManager,
    dynamo,
    stateTable: 'state',
    scheduler,
    scheduleGroup: 'grace',
    vault: { unknown: 'none' },
    withFields: false,
  };
  const now = new Date();
  const start = process.cpuUsage();
  const rows = rowsOf(await readFleet(readers, [], now), now);
  table(
    statusHead(false),
    rows.map((row) => cellsOf(row, now, false, picocolors.createColors(false))),
  );
  const ownMs = sinceMs(start) - ofEngineMs;
  const adopted = rows.filter(
    (row) => row.adoption.state === 'known' && row.adoption.instances.length === instancesEach,
  );
  if (adopted.length !== secretCount) throw new Error(`status showed ${adopted.length} whole rows`);
  const all = calls.ListSecrets + calls.Scan + calls.ListSchedules + calls.others;
  // The three lists are read at the same time, and the pages of each one after the other.
  const seconds = (ownMs + Math.max(calls.ListSecrets, calls.Scan, calls.ListSchedules) * latencyMs) / 1_000;
  return [
    {
      name: `Calls of keyturn status, ${secretCount} secrets`,
      value: all,
      unit: 'calls',
      goal: '<= 120',
      holds: all <= 120,
    },
    {
      name: `keyturn status of ${secretCount}, at ${latencyMs} ms a call`,
      value: Number(seconds.toFixed(1)),
      unit: 's',
      goal: '< 15',
      holds: seconds < 15,
    },
  ];
}

function sinceMs(began: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1_000;
}

const config = { region: 'eu-central-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } };

function answering(answer: () => object) {
  return {
    async handle() {
      const body = Readable.from([Buffer.from(JSON.stringify(answer()))]);
      return {
        response: { statusCode: 200, headers: { 'content-type': 'application/x-amz-json-1.0' }, body },
      };
    },
  };
}

const adoption = (secretArn: string, versionId: string, agentInstanceId: string) => ({
  id: { S: `adoption#${secretArn}#${agentInstanceId}` },
  secretArn: { S: secretArn },
  agentInstanceId: { S: agentInstanceId },
  versionId: { S: versionId },
  adoptedAt: { S: '2026-11-24T09:00:00.000Z' },
  expiresAt: { N: '4102444800' },
});
