import { Readable } from 'node:stream';
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { expect, test, vi } from 'vitest';
import { agentSqs } from '../../../agent/invalidation.ts';

const queueUrl = 'https://sqs.eu-central-1.amazonaws.com/123456789012/keyturn-billing-7';

test('a queue is polled at the endpoint that the process is told of, without a remark at each poll', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_SQS', 'https://vpce-1.sqs.eu-central-1.vpce.amazonaws.com');
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  const hosts: string[] = [];
  const sqs = agentSqs({
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    requestHandler: {
      handle: async ({ hostname }: { hostname: string }) => {
        hosts.push(hostname);
        return { response: { statusCode: 200, headers: {}, body: Readable.from(['{}']) } };
      },
    },
  });
  await sqs.send(new ReceiveMessageCommand({ QueueUrl: queueUrl }));
  expect(hosts).toEqual(['vpce-1.sqs.eu-central-1.vpce.amazonaws.com']);
  expect(warned).not.toHaveBeenCalled();
  vi.unstubAllEnvs();
});
