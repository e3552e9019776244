import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { probeTarget } from '../../../functions/check-backend-health/probe-target.ts';
import type { Postgres } from '../../../local/postgres/server.ts';
import { InvalidSecretError } from '../../../shared/credential/errors.ts';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { CredentialRefusedError, TargetUnreachableError } from '../../../shared/rotators/errors.ts';
import { adminOf, loginOn, postgresForTests, secretJson } from './setting.ts';

const aws = mockClient(SecretsManagerClient);
let server: Postgres;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(async () => server?.[Symbol.asyncDispose]());

function probed(admin: SecretJson) {
  aws.reset();
  aws.on(GetSecretValueCommand).resolves({ SecretString: admin.serialize().reveal() });
  return probeTarget(new SecretsManagerClient({}), { name: 'orders', secretArn: 'arn:admin' }, 5_000);
}

test('a server that takes the admin and answers is well', async () => {
  expect(await probed(adminOf(server))).toBeUndefined();
});

test('a password that was changed outside of its secret is a refusal', async () => {
  await expect(probed(loginOn(server, 'admin', 'stale'))).rejects.toThrow(CredentialRefusedError);
});

test('a server that does not listen, or speaks no TLS where the secret does not do without, is unreachable', async () => {
  const { port: _, ...admin } = adminOf(server).reveal();
  await expect(probed(secretJson({ ...admin, port: 1 }))).rejects.toThrow(TargetUnreachableError);
  await expect(probed(adminOf(server).with({ ssl: true }))).rejects.toThrow(TargetUnreachableError);
});

test('a secret that is no login says which field is wrong', async () => {
  await expect(probed(adminOf(server).with({ port: 'none' }))).rejects.toThrow(InvalidSecretError);
});
