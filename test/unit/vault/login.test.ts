import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { VaultUnreachableError } from '../../../shared/vault/errors.ts';
import { vaultLogin } from '../../../shared/vault/login.ts';
import { vaultSettings } from '../../../shared/vault/settings.ts';

const secretsManager = new SecretsManagerClient({
  region: 'eu-central-1',
  credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'canary-secret-key', sessionToken: 'session' },
});
const text = (base64: unknown) => Buffer.from(z.string().parse(base64), 'base64').toString();

test('by its IAM role: a signed GetCallerIdentity of its region, for this Vault alone', async () => {
  const settings = vaultSettings.parse({
    VAULT_ADDR: 'https://vault.example:8200',
    VAULT_AWS_ROLE: 'keyturn-mirror',
    VAULT_AWS_SERVER_ID: 'vault.example',
  });
  const { path, body } = await vaultLogin(settings, secretsManager)();
  const headers = z.record(z.string(), z.string()).parse(JSON.parse(text(body.iam_request_headers)));

  expect(path).toBe('auth/aws/login');
  expect(body).toMatchObject({ role: 'keyturn-mirror', iam_http_request_method: 'POST' });
  expect(text(body.iam_request_url)).toBe('https://sts.eu-central-1.amazonaws.com/');
  expect(text(body.iam_request_body)).toBe('Action=GetCallerIdentity&Version=2011-06-15');
  expect(headers).toMatchObject({
    host: 'sts.eu-central-1.amazonaws.com',
    'x-vault-aws-iam-server-id': 'vault.example',
    'x-amz-security-token': 'session',
  });
  expect(headers.authorization).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/sts\/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-vault-aws-iam-server-id, Signature=[0-9a-f]{64}$/,
  );
  expect(JSON.stringify(body) + text(body.iam_request_headers)).not.toContain('canary-secret-key');
});

test('by its IAM role in China: STS is asked where that partition has it', async () => {
  const region = 'cn-north-1';
  const { credentials } = secretsManager.config;
  const settings = vaultSettings.parse({ VAULT_ADDR: 'https://vault.example', VAULT_AWS_ROLE: 'mirror' });
  const { body } = await vaultLogin(settings, new SecretsManagerClient({ region, credentials }))();
  const headers: unknown = JSON.parse(text(body.iam_request_headers));
  expect(text(body.iam_request_url)).toBe('https://sts.cn-north-1.amazonaws.com.cn/');
  expect(headers).toMatchObject({ host: 'sts.cn-north-1.amazonaws.com.cn' });
});

test('without vaultAddress: whatever is to be mirrored says what is missing', async () => {
  const login = vaultLogin(vaultSettings.parse({}), secretsManager);
  await expect(login()).rejects.toThrow(VaultUnreachableError);
  await expect(login()).rejects.toThrow(/vaultAddress/);
});

test('an address that is none is refused at the start', () => {
  expect(vaultSettings.safeParse({ VAULT_ADDR: 'vault.example:8200' }).success).toBe(false);
});
