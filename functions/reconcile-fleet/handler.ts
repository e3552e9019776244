import { setTimeout as pause } from 'node:timers/promises';
import { Logger } from '@aws-lambda-powertools/logger';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SNSClient } from '@aws-sdk/client-sns';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { calledAws } from '../../shared/aws/errors.ts';
import { alertsTo } from '../../shared/notification/alert.ts';
import { eventBus } from '../../shared/notification/event-bus.ts';
import { observed } from '../../shared/observability/observed.ts';
import { declarationsState } from '../../shared/provisioning/declarations-state.ts';
import { findingsState } from '../../shared/reconciliation/report-findings.ts';
import { paced } from '../../shared/secrets-manager/pace.ts';
import { secretsManagerTime } from '../../shared/secrets-manager/time.ts';
import { askedFunctions } from './ask-functions.ts';
import { findingEvent } from './finding-event.ts';
import { nextRound, reconcileFleet, reconcileRequest } from './reconcile-fleet.ts';
import { unstick, unstickRequest } from './unstick.ts';

const environment = parsed(
  'The environment of reconcile-fleet',
  z.object({
    EVENT_BUS_NAME: z.string().min(1),
    STATE_TABLE_NAME: z.string().min(1),
    DECLARATIONS_TABLE_NAME: z.string().min(1),
    ALERT_TOPIC_ARN: z.string().min(1),
    KEYTURN_STAGE: z.string().min(1),
    RUNBOOK_URL: z.string().min(1),
    ADMIN_SECRETS: z.string().min(1),
    ROTATE_FUNCTION_ARN: z.string().min(1),
    REVOKE_FUNCTION_ARN: z.string().min(1),
    SCHEDULE_GROUP_NAME: z.string().min(1),
    SCHEDULER_ROLE_ARN: z.string().min(1),
    SCHEDULE_DEAD_LETTER_ARN: z.string().min(1),
  }),
  process.env,
);
/** Calls of Secrets Manager a second, of the 50 that an account may of each: its schedules and its people have the rest. */
const writesPerSecond = 10;
const listsPerSecond = 25;

/** Some secrets, or a whole kind of findings, could not be looked at. The log names them; the delivery is repeated, and what was repaired stays so. */
class NotAllExaminedError extends Error {
  override readonly name = 'NotAllExaminedError';
}

const log = new Logger();
const client = { customUserAgent: 'keyturn/reconcile-fleet' };
const secretsManager = new SecretsManagerClient({ ...client, maxAttempts: 6 });
const lambda = new LambdaClient(client);
const dynamo = new DynamoDBClient(client);
const now = secretsManagerTime(secretsManager);
const parts = {
  secretsManager,
  scheduler: new SchedulerClient(client),
  schedule: {
    groupName: environment.SCHEDULE_GROUP_NAME,
    targetArn: environment.REVOKE_FUNCTION_ARN,
    roleArn: environment.SCHEDULER_ROLE_ARN,
    deadLetterArn: environment.SCHEDULE_DEAD_LETTER_ARN,
  },
  adminSecretsPrefix: environment.ADMIN_SECRETS.replace(/\*.*$/, ''),
  ...askedFunctions(lambda, {
    rotate: environment.ROTATE_FUNCTION_ARN,
    revoke: environment.REVOKE_FUNCTION_ARN,
  }),
  rotateFunctionArn: environment.ROTATE_FUNCTION_ARN,
  declarations: declarationsState(dynamo, environment.DECLARATIONS_TABLE_NAME),
  turns: {
    write: paced(writesPerSecond, { now: Date.now, pause }),
    list: paced(listsPerSecond, { now: Date.now, pause }),
  },
  now,
  report: {
    records: findingsState(dynamo, environment.STATE_TABLE_NAME),
    bus: eventBus(new EventBridgeClient(client), environment.EVENT_BUS_NAME),
    eventOf: findingEvent,
    send: alertsTo(new SNSClient(client), {
      topicArn: environment.ALERT_TOPIC_ARN,
      stage: environment.KEYTURN_STAGE,
    }),
    runbookUrl: environment.RUNBOOK_URL,
    now,
  },
  log,
};
const request = z.discriminatedUnion('action', [reconcileRequest, unstickRequest]);

export const handler = middy<unknown, unknown>()
  .use(observed(log))
  .handler(async (event, context) => {
    const asked = parsed('The request', request, event);
    if (asked.action === 'unstick') return unstick(asked, parts);
    const report = await reconcileFleet(asked, {
      ...parts,
      remainingMs: () => context.getRemainingTimeInMillis(),
    });
    if (!asked.isScheduled) return report;
    const next = nextRound(asked, report);
    if (next) {
      await calledAws('lambda:InvokeFunction', () =>
        lambda.send(
          new InvokeCommand({
            FunctionName: context.functionName,
            InvocationType: 'Event',
            Payload: JSON.stringify(next),
          }),
        ),
      );
      // Failing would have this round repeated besides the next one.
      return undefined;
    }
    const { unexamined, unexaminedKinds } = report;
    if (unexamined.length + unexaminedKinds.length > 0)
      throw new NotAllExaminedError(
        `${unexamined.length} secret(s) and ${unexaminedKinds.length} kind(s) of findings could not be looked at`,
      );
    return undefined;
  });
