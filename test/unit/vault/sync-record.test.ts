import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  DescribeSecretCommand,
  ResourceNotFoundException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { mockClient } from 'aws-sdk-client-mock';
import 'aws-sdk-client-mock-vitest/extend';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { UnexpectedShapeError } from '../../../events/contract.ts';
import { syncRecord } from '../../../functions/sync-vault-mirror/sync-record.ts';
import { root } from '../../../local/root.ts';
import { connectVault } from '../../../shared/vault/client.ts';
import { vaultLogin } from '../../../shared/vault/login.ts';
import { vaultSettings } from '../../../shared/vault/settings.ts';

const sample = readFileSync(join(root, 'events/secret-label-updated/sample.json'), 'utf8');
const aws = mockClient(SecretsManagerClient);
afterAll(() => aws.restore());
const secretsManager = new SecretsManagerClient({ region: 'eu-central-1' });
let counted: unknown[] = [];
let warned: unknown[] = [];

/** With a Vault that nobody may reach, or without one. */
const synced = (body: string, { hasVault = true } = {}) =>
  syncRecord(
    { body },
    {
      secretsManager,
      vault: !hasVault
        ? undefined
        : connectVault({
            address: 'https://vault.invalid',
            mount: 'secret',
            login: vaultLogin(vaultSettings.parse({}), secretsManager),
          }),
      digest: () => expect.unreachable(),
      log: { info: () => undefined, warn: (...line) => warned.push(line) },
      count: (...counts) => counted.push(counts),
    },
  );

beforeEach(() => {
  aws.reset();
  [counted, warned] = [[], []];
});

test.each([
  ['no JSON', 'password=canary-3f9d', /expected object/],
  ['another shape', '{"detail":"canary-3f9d"}', /source: expected aws\.secretsmanager/],
  ['another label event', sample.replace('"AWSCURRENT"', '7'), /detail\.labelUpdated: expected string/],
])('a forged message, %s, is refused by name and changes nothing', async (_, body, says) => {
  const failure = await synced(body).then(String, (error: unknown) => error);
  expect(failure).toBeInstanceOf(UnexpectedShapeError);
  expect(String(failure)).toMatch(says);
  expect(String(failure)).not.toContain('canary-3f9d');
  expect(aws.calls()).toHaveLength(0);
});

test('a label that is not AWSCURRENT mirrors nothing', async () => {
  await synced(sample.replace('AWSCURRENT', 'AWSPENDING'));
  expect(aws.calls()).toHaveLength(0);
});

test('where Keyturn was deployed without a Vault, a secret that is to be mirrored fails no message', async () => {
  await synced(sample, { hasVault: false });
  expect(aws.calls()).toHaveLength(0);
  expect(warned).toEqual([]);
});

test('a secret that is not to be mirrored needs no Vault', async () => {
  aws.on(DescribeSecretCommand).resolves({
    ARN: 'arn',
    Tags: [
      { Key: 'managed_by', Value: 'agent-platform' },
      { Key: 'agent_id', Value: 'billing-7' },
    ],
    VersionIdsToStages: { '6f1b8a52-3c7e-4d0a-9a51-2f0c5c1e7b11': ['AWSCURRENT'] },
  });
  await synced(sample);
  expect(counted).toEqual([['Mirrors', { outcome: 'not-mirrored' }]]);
});

test('a failure goes back to the queue, and is logged by its class', async () => {
  aws
    .on(DescribeSecretCommand)
    .rejects(new ResourceNotFoundException({ message: 'canary-3f9d', $metadata: {} }));
  await expect(synced(sample)).rejects.toThrow(/^DescribeSecret: ResourceNotFoundException$/);
  expect(counted).toEqual([['Mirrors', { outcome: 'failed' }]]);
  expect(JSON.stringify(warned)).not.toContain('canary-3f9d');
});
