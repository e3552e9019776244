import { BatchProcessor, EventType, processPartialResponse } from '@aws-lambda-powertools/batch';
import { Logger } from '@aws-lambda-powertools/logger';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import middy from '@middy/core';
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import * as z from 'zod';
import { appRoleLogin, connectVault } from '../../shared/vault/client.ts';
import { readAppRole } from '../../shared/vault/login-secret.ts';
import { syncRecord } from './sync-record.ts';

const environment = z
  .object({
    VAULT_ADDR: z.string(),
    VAULT_MOUNT: z.string().min(1),
    VAULT_LOGIN_SECRET: z.string(),
  })
  .parse(process.env);
const log = new Logger({ serviceName: 'sync-vault-mirror' });
const secretsManager = new SecretsManagerClient({ customUserAgent: [['keyturn', 'sync-vault-mirror']] });
const vault = connectVault({
  address: environment.VAULT_ADDR,
  mount: environment.VAULT_MOUNT,
  login: appRoleLogin(() => readAppRole(secretsManager, environment.VAULT_LOGIN_SECRET)),
});
const processor = new BatchProcessor(EventType.SQS);

export const handler = middy<SQSEvent, SQSBatchResponse, Error, Context>().handler((event, context) =>
  processPartialResponse(
    event,
    (record: SQSRecord) => syncRecord(record, { secretsManager, vault, log }),
    processor,
    {
      context,
      throwOnFullBatchFailure: false,
    },
  ),
);
