import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { IAMClient } from '@aws-sdk/client-iam';
import { KMSClient } from '@aws-sdk/client-kms';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SNSClient } from '@aws-sdk/client-sns';
import { SQSClient } from '@aws-sdk/client-sqs';
import { STSClient } from '@aws-sdk/client-sts';
import type { DoctorParts } from '../../../cli/doctor/check.ts';
import type { StackResource } from '../../../cli/stack-resources.ts';

const config = { region: 'eu-central-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } };

/** What `keyturn doctor` looks at, with clients that a test doubles. */
export const doctorParts = (resources: readonly StackResource[]): DoctorParts => ({
  stage: 'dev',
  resources,
  output: (name) => `arn:aws:sns:eu-central-1:123456789012:${name}`,
  now: () => new Date(),
  cloudFormation: new CloudFormationClient(config),
  cloudWatch: new CloudWatchClient(config),
  dynamo: new DynamoDBClient(config),
  eventBridge: new EventBridgeClient(config),
  iam: new IAMClient(config),
  kms: new KMSClient(config),
  lambda: new LambdaClient(config),
  scheduler: new SchedulerClient(config),
  secretsManager: new SecretsManagerClient(config),
  sns: new SNSClient(config),
  sqs: new SQSClient(config),
  sts: new STSClient(config),
});
