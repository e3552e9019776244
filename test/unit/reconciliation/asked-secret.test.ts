import {
  DescribeSecretCommand,
  InternalServiceError,
  ResourceNotFoundException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { askedSecret, NoSuchSecretError } from '../../../functions/reconcile-fleet/asked-secret.ts';
import { SecretsManagerError } from '../../../shared/secrets-manager/errors.ts';

const secretsManager = mockClient(SecretsManagerClient);
afterAll(() => secretsManager.restore());
beforeEach(() => {
  secretsManager.reset();
});
const failure = { message: 'the message', $metadata: {} };
const asked = () => askedSecret('agents/biling/credentials', { secretsManager: new SecretsManagerClient() });

test('a name that is mistyped is told as such, and what Secrets Manager itself fails with is not', async () => {
  secretsManager.on(DescribeSecretCommand).rejects(new ResourceNotFoundException(failure));
  await expect(asked()).rejects.toThrow(NoSuchSecretError);
  secretsManager.on(DescribeSecretCommand).rejects(new InternalServiceError(failure));
  await expect(asked()).rejects.toThrow(SecretsManagerError);
});

test("a secret that isn't the platform's is none that can be asked for", async () => {
  secretsManager.on(DescribeSecretCommand).resolves({ ARN: 'arn', Name: 'somebody/elses', Tags: [] });
  expect(await asked()).toBeUndefined();
});
