import type { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import type { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import type { IAMClient } from '@aws-sdk/client-iam';
import type { KMSClient } from '@aws-sdk/client-kms';
import type { LambdaClient } from '@aws-sdk/client-lambda';
import type { SchedulerClient } from '@aws-sdk/client-scheduler';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { SNSClient } from '@aws-sdk/client-sns';
import type { SQSClient } from '@aws-sdk/client-sqs';
import type { STSClient } from '@aws-sdk/client-sts';
import { sentenceOf } from '../failure.ts';
import type { StackResource } from '../stack-resources.ts';

/** One thing that was looked at. `unknown`: it couldn't be, and `what` says why. */
export interface Verdict {
  readonly check: string;
  readonly state: 'well' | 'wrong' | 'unknown';
  readonly what: string;
  /** What makes it well. */
  readonly remedy?: string;
}

export interface DoctorParts {
  readonly stage: string;
  readonly resources: readonly StackResource[];
  readonly output: (name: string) => string;
  readonly now: () => Date;
  readonly cloudFormation: CloudFormationClient;
  readonly cloudWatch: CloudWatchClient;
  readonly dynamo: DynamoDBClient;
  readonly eventBridge: EventBridgeClient;
  readonly iam: IAMClient;
  readonly kms: KMSClient;
  readonly lambda: LambdaClient;
  readonly scheduler: SchedulerClient;
  readonly secretsManager: SecretsManagerClient;
  readonly sns: SNSClient;
  readonly sqs: SQSClient;
  readonly sts: STSClient;
}

export interface Check {
  readonly name: string;
  readonly run: (parts: DoctorParts) => Promise<readonly Omit<Verdict, 'check'>[]>;
}

/** Runs a check. One that can't be run hinders no other. */
export async function verdictsOf({ name, run }: Check, parts: DoctorParts): Promise<readonly Verdict[]> {
  try {
    return (await run(parts)).map((verdict) => ({ check: name, ...verdict }));
  } catch (error) {
    return [{ check: name, state: 'unknown', what: sentenceOf(error) }];
  }
}

export const well = (what: string) => ({ state: 'well', what }) as const;
export const wrong = (what: string, remedy: string) => ({ state: 'wrong', what, remedy }) as const;
export const unknown = (what: string, remedy: string) => ({ state: 'unknown', what, remedy }) as const;

/** All is well where nothing is wrong. */
export const orWell = (
  found: readonly Omit<Verdict, 'check'>[],
  what: string,
): readonly Omit<Verdict, 'check'>[] => (found.length > 0 ? found : [well(what)]);

export const ofType = ({ resources }: DoctorParts, type: string): readonly StackResource[] =>
  resources.filter((each) => each.type === type);

/** Of a function, as it is named in functions/. */
export const shortName = (parts: Pick<DoctorParts, 'stage'>, functionName: string): string =>
  functionName.replace(`keyturn-${parts.stage}-`, '');
