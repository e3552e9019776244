import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { PublishCommand, type SNSClient } from '@aws-sdk/client-sns';
import { type CacheInvalidation, cacheInvalidation } from '../../events/cache-invalidation/event.ts';
import { parsed } from '../../events/contract.ts';
import { secretLabelUpdated } from '../../events/secret-label-updated/event.ts';
import { calledAws } from '../../shared/aws/errors.ts';
import { knownGraceEnd } from '../../shared/grace/grace.ts';
import { moveOf } from '../../shared/labels/moved.ts';
import { agentIdOf, type Tags } from '../../shared/labels/tags.ts';
import type { Count } from '../../shared/observability/metrics.ts';

export interface InvalidateCachesDependencies {
  readonly secretsManager: SecretsManagerClient;
  readonly sns: SNSClient;
  readonly topicArn: string;
  readonly count: Count;
  readonly log: { debug(message: string, fields: Record<string, string>): void };
}

/**
 * Tells a secret's agent that AWSCURRENT moved. A repeat publishes again, which is harmless: the version floor of an agent
 * moves up only.
 */
export async function invalidateCaches(
  input: unknown,
  dependencies: InvalidateCachesDependencies,
): Promise<void> {
  const { secretsManager, sns, topicArn, log, count } = dependencies;
  const event = parsed('Secret Label Updated', secretLabelUpdated, input);
  const { labelUpdated: label, versionId } = event.detail;
  const movedAt = new Date(event.time);
  const move = await moveOf(secretsManager, { secretArn: event.resources[0], label, versionId, movedAt });
  if (move.outcome === 'ignored') {
    log.debug('Nothing to invalidate', { reason: move.reason, secretArn: event.resources[0], versionId });
    return;
  }
  const { secret, change } = move;
  const agentId = agentIdOf(secret.tags);
  const supersedes = change.kind === 'rotated' && change.supersededVersionId !== undefined;
  const message: CacheInvalidation = parsed('cache invalidation', cacheInvalidation, {
    schemaVersion: 1,
    agentId,
    secret: secret.name,
    secretArn: secret.arn,
    versionId: change.currentVersionId,
    versionCreatedAt: change.currentCreatedAt.toISOString(),
    movedAt: movedAt.toISOString(),
    ...(supersedes && toldGraceEnd(movedAt, secret.tags)),
  });
  await calledAws('sns:Publish', () =>
    sns.send(
      new PublishCommand({
        TopicArn: topicArn,
        Message: JSON.stringify(message),
        MessageAttributes: { agentId: { DataType: 'String', StringValue: agentId } },
      }),
    ),
  );
  count('Invalidations');
}

/** A grace that can't be read must not keep the agent uninformed. announce-rotation reports it, and fails. */
function toldGraceEnd(movedAt: Date, tags: Tags): { graceEndsAt?: string } {
  const end = knownGraceEnd(movedAt, tags);
  return 'endsAt' in end ? { graceEndsAt: end.endsAt.toISOString() } : {};
}
