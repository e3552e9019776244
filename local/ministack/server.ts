import { delimiter, join } from 'node:path';
import { type Part, startPart } from '../child.ts';
import { root } from '../root.ts';
import { until } from '../until.ts';

/**
 * Starts ministack: Lambda workers, EventBridge, Scheduler, SNS, SQS, DynamoDB, CloudFormation, IAM, KMS, CloudWatch.
 * `workerEndpoint` is what its Lambda workers get as AWS_ENDPOINT_URL.
 */
export async function startMinistack(options: {
  port: number;
  workerEndpoint: string;
  logFile: string;
}): Promise<Part & { readonly url: string }> {
  const url = `http://127.0.0.1:${options.port}`;
  const part = startPart(join(root, '.keyturn/venv/local/bin/ministack'), [], {
    logFile: options.logFile,
    env: {
      ...process.env,
      GATEWAY_PORT: String(options.port),
      BIND_HOST: '127.0.0.1',
      AWS_ENDPOINT_URL: options.workerEndpoint,
      PATH: [join(root, 'node_modules/.bin'), process.env.PATH].join(delimiter),
    },
  });
  try {
    await until('ministack answers', async () => (await fetch(`${url}/_ministack/health`)).ok);
  } catch (error) {
    await part[Symbol.asyncDispose]();
    throw error;
  }
  return { ...part, url };
}
