import * as z from 'zod';
import { parsed, versionId } from '../../events/contract.ts';
import { rotationFailed } from '../../events/rotation-failed/event.ts';
import { rotationStarted } from '../../events/rotation-started/event.ts';
import { type DescribedSecret, describeSecret } from '../../shared/labels/read.ts';
import { agentIdOf } from '../../shared/labels/tags.ts';
import type { EventBus, OutgoingEvent } from '../../shared/notification/event-bus.ts';
import { errorClassOf } from '../../shared/observability/error-class.ts';
import type { Count } from '../../shared/observability/metrics.ts';
import { createSecret } from '../../shared/rotation/create-secret.ts';
import { SecretNotAllowedError } from '../../shared/rotation/errors.ts';
import { finishSecret } from '../../shared/rotation/finish-secret.ts';
import { type Rotation, type RotationParts, type Step, steps } from '../../shared/rotation/rotation.ts';
import { setSecret } from '../../shared/rotation/set-secret.ts';
import { testSecret } from '../../shared/rotation/test-secret.ts';

const rotationEvent = z.object({
  Step: z.enum(steps),
  /** Both are logged. */
  SecretId: z
    .string()
    .max(2_048)
    .regex(/^[\w/+=.@:-]+$/, 'expected the name or ARN of a secret'),
  ClientRequestToken: versionId,
  RotationToken: z.string().min(36).max(256).optional(),
});

export interface RotateSecretDependencies extends RotationParts {
  readonly bus: EventBus;
  readonly log: Record<'info' | 'warn', (message: string, fields: Record<string, string>) => void>;
  readonly count: Count;
  /** ARNs; undefined: every secret that the function's role lets it have. */
  readonly allowedSecrets: readonly string[] | undefined;
}

/** One step of a rotation, as Secrets Manager asks for it. A failure is published, and then thrown: that is what stops the rotation. */
export async function rotateSecret(input: unknown, dependencies: RotateSecretDependencies): Promise<void> {
  const { allowedSecrets, log, count } = dependencies;
  const event = parsed('The rotation event', rotationEvent, input);
  const { Step: step, SecretId: secretArn, ClientRequestToken: token, RotationToken: rotationToken } = event;
  if (allowedSecrets && !allowedSecrets.includes(secretArn)) throw new SecretNotAllowedError();
  const rotation = { secretArn, token, rotationToken };
  try {
    await takeStep(step, rotation, dependencies);
    count('RotationSteps', { step, outcome: 'done' });
    log.info('Step done', { step, secretArn, rotationId: token });
  } catch (error) {
    const errorClass = errorClassOf(error);
    count('RotationSteps', { step, outcome: 'failed' });
    log.warn('Step failed', { step, secretArn, rotationId: token, errorClass });
    await announce(dependencies, async () => {
      const { agentId, ...secret } = identified(await describeSecret(dependencies.secretsManager, secretArn));
      const failedAt = dependencies.now().toISOString();
      return rotationFailed.of({ ...secret, agentId, rotationId: token, step, errorClass, failedAt });
    });
    throw error;
  }
}

async function takeStep(
  step: Step,
  rotation: Rotation,
  dependencies: RotateSecretDependencies,
): Promise<void> {
  switch (step) {
    case 'createSecret': {
      const { secret, created } = await createSecret(rotation, dependencies);
      if (!created) return;
      const startedAt = dependencies.now().toISOString();
      return announce(dependencies, async () =>
        rotationStarted.of({ ...identified(secret), rotationId: rotation.token, startedAt }),
      );
    }
    case 'setSecret':
      return setSecret(rotation, dependencies);
    case 'testSecret':
      return testSecret(rotation, dependencies);
    case 'finishSecret':
      return finishSecret(rotation, dependencies);
  }
}

/** These two events tell people how a rotation goes. No part of Keyturn waits for them, so their failure fails no rotation. */
async function announce(
  { bus, log }: RotateSecretDependencies,
  make: () => Promise<OutgoingEvent>,
): Promise<void> {
  try {
    await bus.publish([await make()]);
  } catch (error) {
    log.warn('Event not published', { errorClass: errorClassOf(error) });
  }
}

function identified({ name, arn, tags }: DescribedSecret) {
  return { schemaVersion: 1 as const, secret: name, secretArn: arn, agentId: agentIdOf(tags) };
}
