import { BatchProcessor, EventType, processPartialResponse } from '@aws-lambda-powertools/batch';
import { Logger } from '@aws-lambda-powertools/logger';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import middy from '@middy/core';
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { counting } from '../../shared/observability/metrics.ts';
import { observed } from '../../shared/observability/observed.ts';
import { connectVault } from '../../shared/vault/client.ts';
import { digestFrom } from '../../shared/vault/digest.ts';
import { vaultLogin } from '../../shared/vault/login.ts';
import { vaultSettings } from '../../shared/vault/settings.ts';
import { syncRecord } from './sync-record.ts';

const environment = parsed(
  'The environment of sync-vault-mirror',
  vaultSettings.extend({ MIRROR_DIGEST_SECRET: z.string().min(1) }),
  process.env,
);
const log = new Logger();
const secretsManager = new SecretsManagerClient({ customUserAgent: 'keyturn/sync-vault-mirror' });
/** Without a Vault there are no mirrors. */
const vault =
  environment.VAULT_ADDR === ''
    ? undefined
    : connectVault({
        address: environment.VAULT_ADDR,
        namespace: environment.VAULT_NAMESPACE,
        mount: environment.VAULT_MOUNT,
        login: vaultLogin(environment, secretsManager),
      });
const digest = digestFrom(secretsManager, environment.MIRROR_DIGEST_SECRET);
const count = counting();
const processor = new BatchProcessor(EventType.SQS);

export const handler = middy<SQSEvent, SQSBatchResponse, Error, Context>()
  .use(observed(log))
  .handler((event, context) =>
    processPartialResponse(
      event,
      (record: SQSRecord) => syncRecord(record, { secretsManager, vault, digest, log, count }),
      processor,
      {
        context,
        throwOnFullBatchFailure: false,
      },
    ),
  );
