import { createClock } from '../../../local/secrets-manager/clock.ts';
import { createEngine, type EngineOptions } from '../../../local/secrets-manager/engine.ts';
import type { RotationEvent } from '../../../local/secrets-manager/rotation.ts';

export const functionArn = 'arn:aws:lambda:us-east-1:000000000000:function:rotator';
/** A token of 32 characters. */
export const token = (letter: string) => letter.repeat(32);

/** An engine whose clock stands still until it is advanced, whose retries don't wait, and which notes what it invokes. */
export function engineUnderTest({
  rotator = async () => {},
  ...options
}: EngineOptions & {
  rotator?: (event: RotationEvent, engine: ReturnType<typeof createEngine>) => Promise<void>;
} = {}) {
  const clock = createClock(() => Date.UTC(2026, 2, 5, 10, 20, 30));
  const invoked: RotationEvent[] = [];
  const waits: number[] = [];
  const engine = createEngine({
    now: clock.now,
    wait: async (milliseconds) => {
      waits.push(milliseconds);
    },
    ...options,
    invoke: async (_functionArn, event) => {
      invoked.push(event);
      await rotator(event, engine);
    },
  });
  return { engine, clock, invoked, waits, steps: () => invoked.map(({ Step }) => Step) };
}

/** A rotation function as AWS's templates are: a value in createSecret, AWSCURRENT moved in finishSecret. */
export async function rotate(event: RotationEvent, engine: ReturnType<typeof createEngine>): Promise<void> {
  const { SecretId, ClientRequestToken } = event;
  if (event.Step === 'createSecret') {
    const SecretString = `made by ${ClientRequestToken}`;
    await engine.PutSecretValue({
      SecretId,
      ClientRequestToken,
      SecretString,
      VersionStages: ['AWSPENDING'],
    });
  }
  if (event.Step !== 'finishSecret') return;
  const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId });
  const current = Object.entries(VersionIdsToStages).find(([, labels]) => labels.includes('AWSCURRENT'));
  await engine.UpdateSecretVersionStage({
    SecretId,
    VersionStage: 'AWSCURRENT',
    MoveToVersionId: ClientRequestToken,
    RemoveFromVersionId: current?.[0],
  });
}
