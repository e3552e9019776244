import { setTimeout as pause } from 'node:timers/promises';
import { Logger } from '@aws-lambda-powertools/logger';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { adminSecretsLike } from '../../shared/credential/admin-secrets.ts';
import type { RevocationOutcome } from '../../shared/grace/revocation-outcome.ts';
import { eventBus } from '../../shared/notification/event-bus.ts';
import { counting } from '../../shared/observability/metrics.ts';
import { observed } from '../../shared/observability/observed.ts';
import { secretsManagerTime } from '../../shared/secrets-manager/time.ts';
import { revokeSuperseded } from './revoke-superseded.ts';

const environment = parsed(
  'The environment of revoke-superseded',
  z.object({ EVENT_BUS_NAME: z.string().min(1), ADMIN_SECRETS: z.string().min(1) }),
  process.env,
);
const log = new Logger();
const client = { customUserAgent: 'keyturn/revoke-superseded' };
const secretsManager = new SecretsManagerClient(client);
const dependencies = {
  secretsManager,
  isAdminSecret: adminSecretsLike(environment.ADMIN_SECRETS),
  bus: eventBus(new EventBridgeClient(client), environment.EVENT_BUS_NAME),
  log,
  count: counting(),
  now: secretsManagerTime(secretsManager),
  pause,
};

export const handler = middy<unknown, RevocationOutcome>()
  .use(observed(log))
  .handler((event) => revokeSuperseded(event, dependencies));
