import { Logger } from '@aws-lambda-powertools/logger';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SNSClient } from '@aws-sdk/client-sns';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { counting } from '../../shared/observability/metrics.ts';
import { observed } from '../../shared/observability/observed.ts';
import { invalidateCaches } from './invalidate-caches.ts';

const environment = parsed(
  'The environment of invalidate-caches',
  z.object({ INVALIDATION_TOPIC_ARN: z.string().min(1) }),
  process.env,
);
const log = new Logger();
const client = { customUserAgent: 'keyturn/invalidate-caches' };
const dependencies = {
  // Each rotation lists versions here, and AWS's limit of that is met first where many rotate at once.
  secretsManager: new SecretsManagerClient({ ...client, maxAttempts: 6 }),
  sns: new SNSClient(client),
  topicArn: environment.INVALIDATION_TOPIC_ARN,
  log,
  count: counting(),
};

export const handler = middy<unknown, void>()
  .use(observed(log))
  .handler((event) => invalidateCaches(event, dependencies));
