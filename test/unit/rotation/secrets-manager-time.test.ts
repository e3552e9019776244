import { Readable } from 'node:stream';
import { DescribeSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { expect, test } from 'vitest';
import { secretsManagerTime } from '../../../shared/secrets-manager/time.ts';

const truth = Date.parse('2026-11-24T09:00:00Z');

test.each([-280_000, 0, 280_000])(
  'a machine whose clock is %d ms off learns the time from an answer',
  async (offMs) => {
    const client = new SecretsManagerClient({
      region: 'eu-central-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      requestHandler: {
        handle: async () => ({
          response: {
            statusCode: 200,
            headers: { date: new Date(truth).toUTCString(), 'content-type': 'application/x-amz-json-1.1' },
            body: Readable.from([Buffer.from('{}')]),
          },
        }),
      },
    });
    const now = secretsManagerTime(client, () => truth + offMs);
    expect(now().getTime()).toBe(truth + offMs);
    await client.send(new DescribeSecretCommand({ SecretId: 'one' }));
    expect(now().getTime()).toBe(truth);
  },
);
