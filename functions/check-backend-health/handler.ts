import { Logger } from '@aws-lambda-powertools/logger';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SNSClient } from '@aws-sdk/client-sns';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import type { Alert } from '../../shared/health/episode.ts';
import { alertsTo } from '../../shared/notification/alert.ts';
import { counting } from '../../shared/observability/metrics.ts';
import { observed } from '../../shared/observability/observed.ts';
import { healthState } from '../../shared/state/health-state.ts';
import { connectVault } from '../../shared/vault/client.ts';
import { vaultLogin } from '../../shared/vault/login.ts';
import { vaultSettings } from '../../shared/vault/settings.ts';
import { alertMessage } from './alert-message.ts';
import { checkHealth } from './check-health.ts';

const environment = parsed(
  'The environment of check-backend-health',
  vaultSettings
    .extend({
      STATE_TABLE_NAME: z.string().min(1),
      ALERT_TOPIC_ARN: z.string().min(1),
      KEYTURN_STAGE: z.string().min(1),
      RUNBOOK_URL: z.string().min(1),
      HEALTH_WINDOW: z.coerce.number().int().min(1).max(60),
      HEALTH_FAILURES: z.coerce.number().int().min(1),
    })
    .refine(({ HEALTH_WINDOW, HEALTH_FAILURES }) => HEALTH_FAILURES <= HEALTH_WINDOW, {
      path: ['HEALTH_FAILURES'],
      message: 'expected no more than HEALTH_WINDOW',
    }),
  process.env,
);
/** Milliseconds that a backend has to answer in. Two rounds of them fit into the function's time-out many times over. */
const deadlineMs = 8_000;
const log = new Logger();
const client = {
  customUserAgent: 'keyturn/check-backend-health',
  maxAttempts: 2,
};
const secretsManager = new SecretsManagerClient(client);
const sendAlert = alertsTo(new SNSClient(client), {
  topicArn: environment.ALERT_TOPIC_ARN,
  stage: environment.KEYTURN_STAGE,
});
const record = {
  state: healthState(new DynamoDBClient(client), environment.STATE_TABLE_NAME),
  rule: { window: environment.HEALTH_WINDOW, failures: environment.HEALTH_FAILURES },
  send: (backend: string, alert: Alert, signal: AbortSignal) =>
    sendAlert(alertMessage(backend, alert, environment.RUNBOOK_URL), signal),
  now: () => new Date(),
  count: counting(),
};
const vault = connectVault({
  address: environment.VAULT_ADDR,
  namespace: environment.VAULT_NAMESPACE,
  mount: environment.VAULT_MOUNT,
  login: vaultLogin(environment, secretsManager),
});

/** A schedule's event names its run; a person may call without one. */
const request = z.object({
  id: z
    .string()
    .regex(/^[\w-]{1,64}$/, 'expected 1 to 64 of A-Z, a-z, 0-9, _ and -')
    .optional(),
});

export const handler = middy<unknown, void>()
  .use(observed(log))
  .handler((event, context) => {
    const { id: runId = context.awsRequestId } = parsed('The event of the schedule', request, event);
    return checkHealth(
      { secretsManager, vault, vaultAddress: environment.VAULT_ADDR },
      { ...record, runId, deadlineMs, log },
    );
  });
