import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { RotateSecretCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { DynamoDBDocumentClient, GetCommand } from '@aws-sdk/lib-dynamodb';
import * as z from 'zod';
import { describeSecret } from '../../shared/labels/read.ts';
import type { LiveEvent, LiveEvents } from '../live-events.ts';

export interface RotationOutcome {
  /** `pending`: neither done nor failed in time. */
  readonly outcome: 'begun' | 'rotated' | 'failed' | 'pending';
  readonly step?: string;
  readonly errorClass?: string;
}

/** Begins a rotation, and gives its id. The id is made here: the SDK's own repeat of the call begins no second one. */
export async function begin(client: SecretsManagerClient, secretArn: string): Promise<string> {
  const rotationId = randomUUID();
  await client.send(new RotateSecretCommand({ SecretId: secretArn, ClientRequestToken: rotationId }));
  return rotationId;
}

export interface FollowParts {
  readonly secretsManager: SecretsManagerClient;
  /** Without them, or where they miss a failure, the state table tells of it, without its step. */
  readonly live: Pick<LiveEvents, 'receive'> | undefined;
  readonly state: { readonly dynamo: DynamoDBClient; readonly table: string };
  readonly timeoutMs: number;
  readonly stop: AbortSignal;
  /** Told of each event. */
  readonly say: (event: LiveEvent) => void;
}

/**
 * Follows a rotation until AWSCURRENT is on its version, or its first failed step: Secrets Manager tries again after that, but
 * whoever waits shall hear of it at once. The label decides, also over an event: a step may fail after it moved. A rule that was
 * made a moment ago may not see the first events, so the state table is asked as well.
 */
export async function follow(
  { secretArn, rotationId }: { readonly secretArn: string; readonly rotationId: string },
  { secretsManager, live, state, timeoutMs, stop, say }: FollowParts,
): Promise<RotationOutcome> {
  const deadline = performance.now() + timeoutMs;
  let keptFor = 0;
  for (;;) {
    const events = live ? (await live.receive(1)).events : await pause(1_000, []);
    for (const event of events) say(event);
    const kept = await keptFailure(state, secretArn, rotationId).catch((error: unknown) => {
      if (!live) throw error;
      return undefined;
    });
    if (kept) keptFor += 1;
    // The event, which names the step, is given some rounds to come.
    const failure = failureIn(events, rotationId) ?? (live && keptFor < eventRounds ? undefined : kept);
    const { stages } = await describeSecret(secretsManager, secretArn);
    if (stages[rotationId]?.includes('AWSCURRENT')) return { outcome: 'rotated' };
    if (failure) return { outcome: 'failed', ...failure };
    if (stop.aborted || performance.now() > deadline) return { outcome: 'pending' };
  }
}

/** Of a second each. */
const eventRounds = 5;

type Failure = Pick<RotationOutcome, 'step' | 'errorClass'>;

function failureIn(events: readonly LiveEvent[], rotationId: string): Failure | undefined {
  const failed = events.find(
    ({ type, detail }) => type === 'Rotation Failed' && detail.rotationId === rotationId,
  );
  return failed && { step: String(failed.detail.step), errorClass: String(failed.detail.errorClass) };
}

const kept = z.object({ state: z.object({ failure: z.object({ rotationId: z.string() }) }) });

async function keptFailure(
  { dynamo, table }: FollowParts['state'],
  secretArn: string,
  rotationId: string,
): Promise<Failure | undefined> {
  const { Item } = await DynamoDBDocumentClient.from(dynamo).send(
    new GetCommand({ TableName: table, Key: { id: `rotation#${secretArn}` } }),
  );
  return kept.safeParse(Item).data?.state.failure.rotationId === rotationId ? {} : undefined;
}
