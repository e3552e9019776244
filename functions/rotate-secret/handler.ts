import { setTimeout as pause } from 'node:timers/promises';
import { Logger } from '@aws-lambda-powertools/logger';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { adminSecretsLike } from '../../shared/credential/admin-secrets.ts';
import { eventBus } from '../../shared/notification/event-bus.ts';
import { counting } from '../../shared/observability/metrics.ts';
import { observed } from '../../shared/observability/observed.ts';
import { secretsManagerTime } from '../../shared/secrets-manager/time.ts';
import { rotateSecret } from './rotate-secret.ts';

const environment = parsed(
  'The environment of rotate-secret',
  z.object({
    EVENT_BUS_NAME: z.string().min(1),
    ADMIN_SECRETS: z.string().min(1),
    /** ARNs with commas between them; empty: no list. */
    ALLOWED_SECRETS: z
      .string()
      .default('')
      .transform((text) => text.split(',').flatMap((arn) => arn.trim() || [])),
  }),
  process.env,
);
const log = new Logger();
const client = { customUserAgent: 'keyturn/rotate-secret' };
const secretsManager = new SecretsManagerClient(client);
const dependencies = {
  secretsManager,
  isAdminSecret: adminSecretsLike(environment.ADMIN_SECRETS),
  bus: eventBus(new EventBridgeClient(client), environment.EVENT_BUS_NAME),
  allowedSecrets: environment.ALLOWED_SECRETS.length > 0 ? environment.ALLOWED_SECRETS : undefined,
  log,
  count: counting(),
  // A failure is compared with the success before it and after it, which AWS dates.
  now: secretsManagerTime(secretsManager),
  pause,
};

export const handler = middy<unknown, void>()
  .use(observed(log))
  .handler((event) => rotateSecret(event, dependencies));
