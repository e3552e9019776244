import { SQSClient } from '@aws-sdk/client-sqs';
import type { Deployment } from './deployment.ts';

/** SQS at the endpoint that the command is told of, and not where a queue's address points: the SDK would remark on it. */
export const queues = (aws: Deployment['aws']): SQSClient =>
  new SQSClient({ ...aws, useQueueUrlAsEndpoint: false });
