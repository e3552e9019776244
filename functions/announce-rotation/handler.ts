import { Logger } from '@aws-lambda-powertools/logger';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { eventBus } from '../../shared/notification/event-bus.ts';
import { observed } from '../../shared/observability/observed.ts';
import { announceRotation } from './announce-rotation.ts';

const environment = parsed(
  'The environment of announce-rotation',
  z.object({
    EVENT_BUS_NAME: z.string().min(1),
    SCHEDULE_GROUP_NAME: z.string().min(1),
    REVOKE_FUNCTION_ARN: z.string().min(1),
    SCHEDULER_ROLE_ARN: z.string().min(1),
    SCHEDULE_DEAD_LETTER_ARN: z.string().min(1),
  }),
  process.env,
);
const log = new Logger();
const client = { customUserAgent: 'keyturn/announce-rotation' };
const dependencies = {
  // Each rotation lists versions here, and AWS's limit of that is met first where many rotate at once.
  secretsManager: new SecretsManagerClient({ ...client, maxAttempts: 6 }),
  scheduler: new SchedulerClient(client),
  bus: eventBus(new EventBridgeClient(client), environment.EVENT_BUS_NAME),
  schedule: {
    groupName: environment.SCHEDULE_GROUP_NAME,
    targetArn: environment.REVOKE_FUNCTION_ARN,
    roleArn: environment.SCHEDULER_ROLE_ARN,
    deadLetterArn: environment.SCHEDULE_DEAD_LETTER_ARN,
  },
  log,
  now: () => new Date(),
};

export const handler = middy<unknown, void>()
  .use(observed(log))
  .handler((event) => announceRotation(event, dependencies));
