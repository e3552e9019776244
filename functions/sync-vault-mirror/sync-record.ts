import type { Logger } from '@aws-lambda-powertools/logger';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { SQSRecord } from 'aws-lambda';
import * as z from 'zod';
import type { Vault } from '../../shared/vault/client.ts';
import { syncMirror } from '../../shared/vault/mirror.ts';

const labelEvent = z.object({
  source: z.literal('aws.secretsmanager'),
  'detail-type': z.literal('Secret Label Updated'),
  detail: z.object({ name: z.string(), labelUpdated: z.string(), versionId: z.string() }),
  resources: z.tuple([z.string().min(1)]),
});

/** Mirrors the secret of one native label event; a failure goes back to the queue. The event's version is a hint only. */
export async function syncRecord(
  record: Pick<SQSRecord, 'body'>,
  {
    log,
    ...parts
  }: { secretsManager: SecretsManagerClient; vault: Vault; log: Pick<Logger, 'info' | 'warn'> },
): Promise<void> {
  const event = labelEvent.parse(JSON.parse(record.body));
  if (event.detail.labelUpdated !== 'AWSCURRENT') return;
  const [secretArn] = event.resources;
  try {
    const outcome = await syncMirror(secretArn, parts);
    log.info('mirror synced', { secretArn, outcome });
  } catch (error) {
    log.warn('mirror not synced', { secretArn, reason: error instanceof Error ? error.name : 'unknown' });
    throw error;
  }
}
