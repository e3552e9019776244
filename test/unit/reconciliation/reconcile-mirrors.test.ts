import { ListSecretsCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { reconcileMirrors } from '../../../shared/reconciliation/mirrors/reconcile-mirrors.ts';
import type { Vault } from '../../../shared/vault/client.ts';
import { mirrorDigest } from '../../../shared/vault/digest.ts';
import { VaultUnreachableError } from '../../../shared/vault/errors.ts';

const secrets = 200;
const aws = mockClient(SecretsManagerClient);
afterAll(() => aws.restore());
const digest = mirrorDigest(Buffer.from('a key'));
const value = { password: 'p' };
const arnOf = (path: string) => `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${path}-a1B2c3`;
const paths = Array.from({ length: secrets }, (_, index) => `agents/a${index}/credentials`);

beforeEach(() => {
  aws.reset();
  aws.on(ListSecretsCommand).resolves({
    SecretList: paths.map((path) => ({
      ARN: arnOf(path),
      Name: path,
      Tags: [
        { Key: 'managed_by', Value: 'agent-platform' },
        { Key: 'agent_id', Value: path.split('/')[1] },
        { Key: 'keyturn:mirror', Value: path },
      ],
      SecretVersionsToStages: { v1: ['AWSCURRENT'] },
    })),
  });
});

/** All in step, until told otherwise. */
function vaultOf(readKey: Vault['readKey']): Vault {
  const never = () => expect.unreachable('no such call is to be made');
  return {
    readKey,
    list: async () => [],
    readData: never,
    writeData: never,
    readMetadata: never,
    writeCustomMetadata: never,
    remove: never,
    lookupToken: never,
  };
}
const inStep: Vault['readKey'] = async (path) => ({
  currentVersion: 1,
  data: value,
  custom: {
    keyturn_secret: arnOf(path),
    keyturn_version_id: 'v1',
    keyturn_kv_version: '1',
    keyturn_digest: digest.of(arnOf(path), 'v1', value),
  },
});
const run = (readKey: Vault['readKey'], isLate: () => boolean, now = new Date('2026-11-24T09:00:00Z')) =>
  reconcileMirrors(
    { secretsManager: new SecretsManagerClient({}), vault: vaultOf(readKey), digest: async () => digest },
    {
      heals: true,
      ownArns: arnOf('').slice(0, -7),
      now: () => now,
      isLate,
      pause: async () => undefined,
      onFailure: () => undefined,
    },
  );

describe('a run over the mirrors', () => {
  it('ends after a few calls where Vault is out of reach', async () => {
    let calls = 0;
    const look = await run(
      async () => {
        calls += 1;
        throw new VaultUnreachableError('Vault did not answer');
      },
      () => false,
    );
    expect(look).toMatchObject({ stopped: 'vault', orphansChecked: false, findings: [] });
    expect(look.checked.size).toBe(0);
    expect(calls).toBeLessThanOrEqual(15);
  });

  it('goes on past a mirror that fails by itself', async () => {
    const look = await run(
      async (path) => {
        if (path === paths[7]) throw new VaultUnreachableError('Vault did not answer');
        return inStep(path);
      },
      () => false,
    );
    expect(look.checked.size).toBe(secrets - 1);
    expect(look.stopped).toBeUndefined();
  });

  it('that has time for a fifth of them only has looked at all within half a day of hours', async () => {
    const seen = new Set<string>();
    for (let hour = 0; hour < 12; hour += 1) {
      let looked = 0;
      const look = await run(
        async (path) => {
          looked += 1;
          return inStep(path);
        },
        () => looked >= secrets / 5,
        new Date(hour * 3_600_000),
      );
      expect(look.stopped).toBe('late');
      for (const arn of look.checked) seen.add(arn);
    }
    expect(seen.size).toBe(secrets);
  });
});
