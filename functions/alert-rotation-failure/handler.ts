import { Logger } from '@aws-lambda-powertools/logger';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SNSClient } from '@aws-sdk/client-sns';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { alertsTo } from '../../shared/notification/alert.ts';
import { observed } from '../../shared/observability/observed.ts';
import { alertRotationFailure } from './alert-rotation-failure.ts';
import { rotationState } from './rotation-state.ts';

const environment = parsed(
  'The environment of alert-rotation-failure',
  z.object({
    STATE_TABLE_NAME: z.string().min(1),
    ALERT_TOPIC_ARN: z.string().min(1),
    KEYTURN_STAGE: z.string().min(1),
    RUNBOOK_URL: z.string().min(1),
  }),
  process.env,
);
const client = { customUserAgent: 'keyturn/alert-rotation-failure' };
const dependencies = {
  secretsManager: new SecretsManagerClient(client),
  records: rotationState(new DynamoDBClient(client), environment.STATE_TABLE_NAME),
  send: alertsTo(new SNSClient(client), {
    topicArn: environment.ALERT_TOPIC_ARN,
    stage: environment.KEYTURN_STAGE,
  }),
  runbookUrl: environment.RUNBOOK_URL,
  now: () => new Date(),
};

export const handler = middy<unknown, void>()
  .use(observed(new Logger()))
  .handler((event) => alertRotationFailure(event, dependencies));
