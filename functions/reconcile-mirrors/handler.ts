import { setTimeout as pause } from 'node:timers/promises';
import { Logger } from '@aws-lambda-powertools/logger';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SNSClient } from '@aws-sdk/client-sns';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { alertsTo } from '../../shared/notification/alert.ts';
import { eventBus } from '../../shared/notification/event-bus.ts';
import { observed } from '../../shared/observability/observed.ts';
import { findingsState } from '../../shared/reconciliation/report-findings.ts';
import { connectVault } from '../../shared/vault/client.ts';
import { digestFrom } from '../../shared/vault/digest.ts';
import { vaultLogin } from '../../shared/vault/login.ts';
import { vaultSettings } from '../../shared/vault/settings.ts';
import { answerMirrors } from './reconcile-mirrors.ts';

const environment = parsed(
  'The environment of reconcile-mirrors',
  vaultSettings.extend({
    STATE_TABLE_NAME: z.string().min(1),
    EVENT_BUS_NAME: z.string().min(1),
    ALERT_TOPIC_ARN: z.string().min(1),
    KEYTURN_STAGE: z.string().min(1),
    RUNBOOK_URL: z.string().min(1),
    MIRROR_DIGEST_SECRET: z.string().min(1),
    OWN_SECRET_ARNS: z.string().min(1),
  }),
  process.env,
);
/** Left for telling of what was found. */
const reserveMs = 60_000;
const log = new Logger();
const client = { customUserAgent: 'keyturn/reconcile-mirrors' };
const secretsManager = new SecretsManagerClient(client);
const report = {
  records: findingsState(new DynamoDBClient(client), environment.STATE_TABLE_NAME),
  bus: eventBus(new EventBridgeClient(client), environment.EVENT_BUS_NAME),
  send: alertsTo(new SNSClient(client), {
    topicArn: environment.ALERT_TOPIC_ARN,
    stage: environment.KEYTURN_STAGE,
  }),
  runbookUrl: environment.RUNBOOK_URL,
  now: () => new Date(),
};
const vault = connectVault({
  address: environment.VAULT_ADDR,
  namespace: environment.VAULT_NAMESPACE,
  mount: environment.VAULT_MOUNT,
  login: vaultLogin(environment, secretsManager),
});

/** Without a Vault there are no mirrors. */
const noMirrors = { mirrored: 0, checked: 0, isFinished: true, isVaultDown: false, inStep: [], findings: [] };

export const handler = middy<unknown, unknown>()
  .use(observed(log))
  .handler(async (event, context) => {
    if (environment.VAULT_ADDR === '') return noMirrors;
    return answerMirrors(event, {
      secretsManager,
      vault,
      // Read anew in each run, so that a new key is taken up by the next one.
      digest: digestFrom(secretsManager, environment.MIRROR_DIGEST_SECRET),
      ownArns: environment.OWN_SECRET_ARNS,
      report,
      pause,
      isLate: () => context.getRemainingTimeInMillis() < reserveMs,
      log,
    });
  });
