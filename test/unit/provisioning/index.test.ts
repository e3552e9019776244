import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { IAMClient } from '@aws-sdk/client-iam';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { expect, test } from 'vitest';
import {
  connectVaultAdmin,
  declarationsState,
  defaultMounts,
  endPlannersOf,
  iamPlanners,
  plannersOf,
  SecretValue,
  type SystemParts,
  vaultPlanners,
} from '../../../shared/provisioning/index.ts';

test('keyturn/provisioning has what a program needs to plan in each system, as keyturn apply does', () => {
  const aws = { region: 'eu-central-1' };
  const secretsKeyArn = 'arn:aws:kms:eu-central-1:123456789012:key/k';
  const vault = connectVaultAdmin({
    address: 'https://vault.example',
    token: SecretValue.of('hvs.a'),
  });
  const parts: SystemParts = {
    secretsManager: new SecretsManagerClient(aws),
    rotationFunctionArn: 'arn:aws:lambda:eu-central-1:123456789012:function:keyturn-prod-rotate-secret',
    kmsKeyId: secretsKeyArn,
    declarations: declarationsState(new DynamoDBClient(aws), 'keyturn-prod-declarations'),
  };
  const whole: SystemParts = {
    ...parts,
    vault: vaultPlanners(vault, defaultMounts),
    iam: iamPlanners({
      iam: new IAMClient(aws),
      deployment: {
        stage: 'prod',
        busName: 'keyturn-prod',
        invalidationTopicArn: 'arn:aws:sns:eu-central-1:123456789012:keyturn-prod',
        secretsKeyArn,
      },
    }),
  };
  expect(plannersOf(whole).length - plannersOf(parts).length).toBe(2);
  const [ends, fewer] = [whole, parts].map((each) => endPlannersOf({ ...each, recoveryDays: 30 }));
  expect(ends?.access.length).toBe((fewer?.access.length ?? 0) + 2);
});
