import { Readable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { createAgentSecrets } from '../../agent/index.ts';
import { startSidecar } from '../../agent/sidecar/server.ts';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { secret, versionIdOf } from '../unit/agent/setting.ts';
import { leaksOf, shown } from './canary.ts';

const password = 'c4NarYq7"\\zx';
const token = 'a-token-that-nobody-else-has-0123456789';
const canaries = { password, token };
const value = JSON.stringify({ engine: 'postgres', username: 'agent', password });

/** What AWS answers, whichever service is asked. */
const answers = {
  'refused, in an error that quotes the value': {
    statusCode: 400,
    body: JSON.stringify({ __type: 'ValidationException', message: value, Message: value }),
  },
  'denied, in an error that quotes the value': {
    statusCode: 403,
    body: JSON.stringify({ __type: 'AccessDeniedException', message: value, Message: value }),
  },
  'failed, in an error that quotes the value': {
    statusCode: 500,
    body: JSON.stringify({ __type: 'InternalServiceError', message: value }),
  },
  'answered with no JSON': { statusCode: 200, body: `<p>${value}</p>` },
  'answered with a value that is no JSON': {
    statusCode: 200,
    body: JSON.stringify({
      ARN: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/billing-7/credentials-a1B2c3',
      Name: secret,
      VersionId: versionIdOf(3),
      CreatedDate: 1_750_000_000,
      VersionStages: ['AWSCURRENT'],
      SecretString: `{"password":"${password}"`,
    }),
  },
};

function given({ statusCode, body }: { statusCode: number; body: string }) {
  const said: string[] = [];
  const agent = createAgentSecrets({
    agentId: 'billing-7',
    queueUrl: 'https://sqs.eu-central-1.amazonaws.com/123456789012/keyturn-billing-7',
    eventBusName: 'keyturn',
    log: { warn: (...all) => void said.push(JSON.stringify(all)) },
    aws: {
      region: 'eu-central-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      maxAttempts: 1,
      requestHandler: {
        handle: async () => ({
          response: {
            statusCode,
            headers: { 'content-type': 'application/x-amz-json-1.1' },
            body: Readable.from([Buffer.from(body)]),
          },
        }),
      },
    },
  });
  return { agent, said };
}

describe('no secret is in a log, an error or an answer of the agent and its sidecar', () => {
  it.each(Object.entries(answers))('where a call of AWS is %s', async (_, answer) => {
    const { agent, said } = given(answer);
    await using _agent = agent;
    await using sidecar = await startSidecar({ agent, token: SecretValue.of(token), port: 0 });
    const printed = (['log', 'info', 'warn', 'error', 'debug'] as const).map((method) =>
      vi.spyOn(console, method).mockImplementation((...all) => void said.push(all.map(shown).join())),
    );
    const reads = [
      () => agent.get(secret),
      () => agent.refreshNow(secret),
      () => agent.version(secret, { versionId: versionIdOf(3) }),
    ];
    for (const read of reads)
      said.push(
        await read().then(
          () => expect.unreachable(),
          (error: unknown) => shown(error),
        ),
      );
    for (const path of [
      `/secretsmanager/get?secretId=${secret}`,
      `/secretsmanager/get?secretId=${secret}&refreshNow=true`,
      `/secretsmanager/get?secretId=${secret}&versionId=${versionIdOf(3)}`,
      `/secretsmanager/get?secretId=${secret}&refreshNow=${encodeURIComponent(password)}`,
      `/secretsmanager/watch?secretId=${secret}`,
      `/v1/${secret}`,
      '/v1/%ff',
      '/secretsmanager/get',
      '/vault/get?path=agents/billing-7/credentials',
      '/health',
      '/metrics',
      `/${encodeURIComponent(password)}`,
    ]) {
      for (const method of ['GET', 'POST']) {
        const response = await fetch(new URL(path, sidecar.url), {
          method,
          headers: { 'X-Aws-Parameters-Secrets-Token': token },
        });
        said.push(JSON.stringify([...response.headers]), await response.text());
      }
    }
    const isPolled = () =>
      agent.connected || said.join().includes('The invalidation queue could not be polled');
    await vi.waitFor(() => expect(isPolled()).toBe(true));
    for (const spy of printed) spy.mockRestore();
    expect(said.length).toBeGreaterThan(50);
    expect(leaksOf(said.join('\n'), canaries)).toEqual([]);
  });
});
