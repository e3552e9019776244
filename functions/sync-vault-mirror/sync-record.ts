import type { Logger } from '@aws-lambda-powertools/logger';
import type { SQSRecord } from 'aws-lambda';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { secretLabelUpdated } from '../../events/secret-label-updated/event.ts';
import { errorClassOf } from '../../shared/observability/error-class.ts';
import type { Count } from '../../shared/observability/metrics.ts';
import { parsedJson } from '../../shared/parsed-json.ts';
import type { MirrorParts } from '../../shared/vault/examine-mirror.ts';
import { syncMirror } from '../../shared/vault/mirror.ts';

export interface SyncRecordDependencies extends Omit<MirrorParts, 'vault'> {
  /** Undefined where Keyturn was deployed without one. */
  readonly vault: MirrorParts['vault'] | undefined;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly count: Count;
}

/** A message's body. */
const labelMoved = z.string().transform(parsedJson).pipe(secretLabelUpdated);

/**
 * Mirrors the secret of one native label event; a failure goes back to the queue. The event's version is a hint only: what it
 * can do is send back a message whose read was older than it. Without a Vault nothing is mirrored, whatever secrets' tags ask for:
 * reconcile-mirrors writes what is missing once there is one.
 */
export async function syncRecord(
  record: Pick<SQSRecord, 'body'>,
  { log, count, vault, ...parts }: SyncRecordDependencies,
): Promise<void> {
  const event = parsed('Secret Label Updated', labelMoved, record.body);
  if (event.detail.labelUpdated !== 'AWSCURRENT') return;
  if (!vault) return;
  const [secretArn] = event.resources;
  try {
    const outcome = await syncMirror(
      secretArn,
      { ...parts, vault },
      {
        moved: { to: event.detail.versionId, at: new Date(event.time) },
      },
    );
    count('Mirrors', { outcome });
    log.info('mirror synced', { secretArn, outcome });
  } catch (error) {
    count('Mirrors', { outcome: 'failed' });
    log.warn('mirror not synced', { secretArn, reason: errorClassOf(error) });
    throw error;
  }
}
