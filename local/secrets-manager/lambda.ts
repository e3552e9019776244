import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { RotationEvent } from './rotation.ts';

/** A rotation function that threw, timed out or could not be run. */
export class RotationFunctionError extends Error {
  override name = 'RotationFunctionError';
}

/** Invokes rotation functions over Lambda's API and waits for their end, as Secrets Manager does. */
export function lambdaInvoker({ endpoint, region }: { endpoint: string; region: string }) {
  const client = new LambdaClient({
    endpoint,
    region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  return {
    async invoke(functionArn: string, event: RotationEvent): Promise<void> {
      const answer = await client.send(
        new InvokeCommand({
          FunctionName: functionArn,
          InvocationType: 'RequestResponse',
          Payload: JSON.stringify(event),
        }),
      );
      if (answer.FunctionError === undefined) return;
      throw new RotationFunctionError(
        `${event.Step}: ${answer.Payload?.transformToString() ?? answer.FunctionError}`,
      );
    },
    close: () => client.destroy(),
  };
}
