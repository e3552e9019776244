import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ConflictException, SchedulerClient } from '@aws-sdk/client-scheduler';
import { SNSClient } from '@aws-sdk/client-sns';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { alertRotationFailure } from '../../functions/alert-rotation-failure/alert-rotation-failure.ts';
import type { Rotations } from '../../functions/alert-rotation-failure/episode.ts';
import type { PendingAlert } from '../../functions/alert-rotation-failure/rotation-state.ts';
import { announceRotation } from '../../functions/announce-rotation/announce-rotation.ts';
import { invalidateCaches } from '../../functions/invalidate-caches/invalidate-caches.ts';
import { recordAdoption } from '../../functions/record-adoption/record-adoption.ts';
import { rotateSecret } from '../../functions/rotate-secret/rotate-secret.ts';
import { syncRecord } from '../../functions/sync-vault-mirror/sync-record.ts';
import { createEngine, type Engine } from '../../local/secrets-manager/engine.ts';
import type { Key, Vault } from '../../shared/vault/client.ts';
import { mirrorDigest } from '../../shared/vault/digest.ts';
import { CasMismatchError } from '../../shared/vault/errors.ts';
import { clientOf, witness } from '../integration/rotation/in-process.ts';
import { reachedByEvents } from '../unit/deployment/edges.ts';
import { recordsInMemory } from '../unit/state/in-memory.ts';
import { accountId, functionArn, ownSecrets, region } from './deployment.ts';

const secrets = 100;
const events = 1_000;
const scheduler = mockClient(SchedulerClient);
const sns = mockClient(SNSClient);
afterAll(() => {
  scheduler.restore();
  sns.restore();
});

interface Rotated {
  readonly id: string;
  readonly name: string;
  readonly arn: string;
  readonly versionId: string;
}
let engine: Engine;
const all: Rotated[] = [];
beforeAll(async () => {
  engine = createEngine({
    region,
    accountId,
    attempts: 1,
    wait: async () => undefined,
    async invoke(_, { Step, SecretId, ClientRequestToken }) {
      const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId });
      const [current = ''] =
        Object.entries(VersionIdsToStages).find(([, labels]) => labels.includes('AWSCURRENT')) ?? [];
      const SecretString = '{"engine":"postgres"}';
      if (Step === 'createSecret')
        await engine.PutSecretValue({
          SecretId,
          ClientRequestToken,
          SecretString,
          VersionStages: ['AWSPENDING'],
        });
      if (Step === 'finishSecret')
        await engine.UpdateSecretVersionStage({
          SecretId,
          VersionStage: 'AWSCURRENT',
          MoveToVersionId: ClientRequestToken,
          RemoveFromVersionId: current,
        });
    },
  });
  for (let index = 0; index < secrets; index += 1) {
    const id = `f${index}`;
    const name = `agents/${id}/credentials`;
    const { ARN: arn } = await engine.CreateSecret({
      Name: name,
      SecretString: '{"engine":"postgres"}',
      Tags: Object.entries({ agent_id: id, managed_by: 'agent-platform', 'keyturn:mirror': name }).map(
        ([Key, Value]) => ({ Key, Value }),
      ),
    });
    const { VersionId: versionId = '' } = await engine.RotateSecret({
      SecretId: arn,
      RotationLambdaARN: functionArn('rotate-secret'),
      RotationRules: { AutomaticallyAfterDays: 30 },
    });
    await engine.idle();
    all.push({ id, name, arn, versionId });
  }
});

const envelope = { version: '0', id: '5b2f8c1e-9d43-4f7a-b1c6-3e8a7d90f254', account: accountId, region };
const time = '2026-11-25T09:00:00Z';
const ofSecret = ({ name, arn, id }: Rotated) => ({
  schemaVersion: 1,
  secret: name,
  secretArn: arn,
  agentId: id,
});
const moved = ({ name, arn, versionId }: Rotated) => ({
  ...envelope,
  time,
  'detail-type': 'Secret Label Updated',
  source: 'aws.secretsmanager',
  resources: [arn],
  detail: { name, labelUpdated: 'AWSCURRENT', versionId },
});

/** A function that begins anew: hears an event, and says what there is of it by now. */
interface Heard {
  readonly hear: (rotated: Rotated, nth: number) => Promise<unknown>;
  /** By what they are of: a repeat adds nothing. */
  readonly effects: () => Iterable<string>;
}
type Client = ReturnType<typeof clientOf>;
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined };

const functions: Readonly<Record<string, (secretsManager: Client) => Heard>> = {
  'announce-rotation'(secretsManager) {
    const schedules = new Set<string>();
    scheduler.reset();
    scheduler.onAnyCommand().callsFake(async ({ Name }: { Name: string }) => {
      if (schedules.has(Name)) throw new ConflictException({ message: '', Message: '', $metadata: {} });
      schedules.add(Name);
      return {};
    });
    return {
      hear: (rotated) =>
        announceRotation(moved(rotated), {
          secretsManager,
          scheduler: new SchedulerClient({ region }),
          bus: { publish: async () => undefined },
          schedule: { groupName: 'grace', targetArn: 'a', roleArn: 'b', deadLetterArn: 'c' },
          log: quiet,
          now: () => new Date(),
        }),
      effects: () => schedules,
    };
  },
  'invalidate-caches'(secretsManager) {
    const messages = new Set<string>();
    sns.reset();
    sns.onAnyCommand().callsFake(async ({ Message }: { Message: string }) => {
      messages.add(Message);
      return {};
    });
    return {
      hear: (rotated) =>
        invalidateCaches(moved(rotated), {
          secretsManager,
          sns: new SNSClient({ region }),
          topicArn: 'arn:topic',
          count: () => undefined,
          log: quiet,
        }),
      effects: () => messages,
    };
  },
  'sync-vault-mirror'(secretsManager) {
    const { vault, written } = vaultInMemory();
    const digest = mirrorDigest(Buffer.from('a key for tests'));
    return {
      hear: (rotated) =>
        syncRecord(
          { body: JSON.stringify(moved(rotated)) },
          { secretsManager, vault, digest: async () => digest, log: quiet, count: () => undefined },
        ),
      effects: () => written,
    };
  },
  'alert-rotation-failure'(secretsManager) {
    const alerts: string[] = [];
    const records = recordsInMemory<Rotations, PendingAlert>();
    return {
      hear: (rotated, nth) =>
        alertRotationFailure(
          {
            ...envelope,
            time,
            resources: [],
            'detail-type': 'Rotation Failed',
            source: 'keyturn',
            detail: {
              ...ofSecret(rotated),
              rotationId: crypto.randomUUID(),
              step: 'testSecret',
              errorClass: 'CredentialRefusedError',
              // Each of them a failure of its own.
              failedAt: new Date(Date.parse(time) + nth).toISOString(),
            },
          },
          {
            secretsManager,
            records,
            send: async ({ backend }) => void alerts.push(backend),
            runbookUrl: 'https://runbook.example',
            now: () => new Date(),
          },
        ),
      effects: () => alerts,
    };
  },
  'record-adoption'() {
    const kept = new Map<string, string>();
    return {
      hear: (rotated, nth) =>
        recordAdoption(
          {
            ...envelope,
            time,
            resources: [],
            'detail-type': 'Secret Adopted',
            source: `keyturn.agent.${rotated.id}`,
            detail: {
              ...ofSecret(rotated),
              agentInstanceId: `${rotated.id}-1`,
              versionId: rotated.versionId,
              adoptedAt: new Date(Date.parse(time) - nth).toISOString(),
            },
          },
          {
            async keep({ secretArn, agentInstanceId, adoptedAt }) {
              kept.set(`${secretArn}#${agentInstanceId}`, adoptedAt);
              return true;
            },
            ownArns: ownSecrets,
            log: quiet,
            count: () => undefined,
          },
        ),
      effects: () => kept.keys(),
    };
  },
  'rotate-secret'(secretsManager) {
    const { said, parts } = witness();
    return {
      // Asked for by somebody else: no such rotation is in progress.
      hear: ({ arn }) =>
        rotateSecret(
          { Step: 'createSecret', SecretId: arn, ClientRequestToken: crypto.randomUUID() },
          { ...parts, secretsManager },
        ).then(
          () => said.push('put'),
          () => said.splice(0),
        ),
      effects: () => said.filter((text) => text === 'put'),
    };
  },
};

function vaultInMemory(): { vault: Vault; written: string[] } {
  const keys = new Map<string, Key>();
  const written: string[] = [];
  const refuse = () => expect.unreachable();
  return {
    written,
    vault: {
      readData: refuse,
      readMetadata: refuse,
      list: refuse,
      remove: refuse,
      lookupToken: refuse,
      readKey: async (path) => keys.get(path),
      async writeCustomMetadata(path, custom) {
        keys.set(path, { currentVersion: 0, ...keys.get(path), custom });
      },
      async writeData(path, data, cas) {
        const { currentVersion = 0, custom = {} } = keys.get(path) ?? {};
        if (cas !== currentVersion) throw new CasMismatchError();
        keys.set(path, { currentVersion: currentVersion + 1, custom, data });
        written.push(path);
        return currentVersion + 1;
      },
    },
  };
}

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');
const heapMb = () => {
  if (typeof collect === 'function') collect();
  return process.memoryUsage().heapUsed / 1_048_576;
};

it('every function that events reach, by what is deployed, has its case here', () => {
  expect(Object.keys(functions).sort()).toEqual(reachedByEvents.toSorted());
});

describe(`${events} events at once, of ${secrets} secrets`, () => {
  it.each(Object.keys(functions))(
    '%s: all end, each makes one call at a time, a secret has its effect once, and nothing stays in memory',
    async (name) => {
      let underWay = 0;
      let peak = 0;
      let calls = 0;
      const client = clientOf(
        engine,
        () => {
          calls += 1;
          underWay += 1;
          peak = Math.max(peak, underWay);
        },
        () => {
          underWay -= 1;
        },
      );
      const { hear, effects } = functions[name]?.(client) ?? expect.unreachable();
      const flood = async () => {
        const outcomes = await Promise.allSettled(
          Array.from({ length: events }, (_, nth) => hear(all[nth % secrets] ?? expect.unreachable(), nth)),
        );
        return outcomes.filter(({ status }) => status === 'rejected').length;
      };
      await flood();
      // What failed beside another of the same secret comes again.
      expect(await flood()).toBe(0);
      expect(peak).toBeLessThanOrEqual(events);
      expect(calls).toBeLessThanOrEqual(2 * 5 * events);
      const made = [...effects()];
      expect(made).toHaveLength(name === 'rotate-secret' ? 0 : secrets);
      const before = heapMb();
      await flood();
      scheduler.resetHistory();
      sns.resetHistory();
      expect([...effects()]).toEqual(made);
      expect(heapMb() - before).toBeLessThan(10);
    },
  );
});
