/**
 * AWS Secrets Manager as a state machine in memory: secrets, versions, staging labels and rotation. Time, randomness and
 * the invocation of rotation functions are given from outside, so the same engine serves the local stack and tests
 * under virtual time.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { LabelMove } from './labels.ts';
import { createOperations, type Operations } from './operations.ts';
import { rotateIfDue } from './rotate.ts';
import { createRotations, type RotationOptions, type RotationStatus } from './rotation.ts';
import { createSecrets } from './secrets.ts';

/** A label that came onto a version, AWSPENDING and AWSPREVIOUS included. */
export type LabelMoved = LabelMove & { readonly arn: string; readonly name: string };

export type EngineOptions = Partial<RotationOptions> & {
  /** Ids for versions whose caller gave none, and by its first six letters and digits an ARN's end. */
  readonly randomId?: () => string;
  /** Told in order after each change; an operation answers when this has. */
  readonly onLabelMoved?: (moved: LabelMoved) => void | Promise<void>;
  /** Gives a new secret's ARN, where somebody else decides on it. */
  readonly newArn?: (name: string) => string | Promise<string>;
  readonly accountId?: string;
  readonly region?: string;
};

export type Engine = Operations & {
  /** Begins every rotation whose window has opened; call it when time has passed. */
  readonly fireDueSchedules: () => Promise<void>;
  /** Waits until no rotation runs. */
  readonly idle: () => Promise<void>;
  /** How the latest rotation of the secret with this ARN stands. */
  readonly rotationOf: (arn: string) => RotationStatus | undefined;
};

/**
 * @example
 * const engine = createEngine({ invoke: async (functionArn, event) => handler(event) });
 * await engine.CreateSecret({ Name: 'agents/a/credentials', SecretString: '{}' });
 */
export function createEngine(options: EngineOptions = {}): Engine {
  const { accountId = '000000000000', region = 'us-east-1', randomId = randomUUID } = options;
  const now = options.now ?? (() => new Date());
  const secrets = createSecrets({ now });
  const rotations = createRotations({
    now,
    invoke: options.invoke ?? noFunctions,
    wait: options.wait ?? ((milliseconds) => pause(milliseconds)),
    attempts: options.attempts ?? 3,
    retryDelayMs: options.retryDelayMs ?? 500,
    pendingAfterFinish: options.pendingAfterFinish ?? 'kept',
  });
  const surroundings = { now, randomId, rotations };
  const announce = async ({ arn, name }: { arn: string; name: string }, moves: readonly LabelMove[]) => {
    for (const move of moves) await options.onLabelMoved?.({ ...move, arn, name });
  };
  const operations = createOperations({
    ...surroundings,
    secrets,
    announce,
    newArn:
      options.newArn ??
      ((name) => `arn:aws:secretsmanager:${region}:${accountId}:secret:${name}-${sixOf(randomId())}`),
  });
  return {
    ...operations,
    async fireDueSchedules() {
      for (const secret of secrets.all()) await announce(secret, rotateIfDue(secret, surroundings).moves);
    },
    idle: () => rotations.idle(),
    rotationOf: (arn) => rotations.statusOf(arn),
  };
}

const sixOf = (id: string) => id.replaceAll(/[^A-Za-z0-9]/g, '').slice(-6);

async function noFunctions(functionArn: string): Promise<void> {
  throw new Error(`this engine was given no way to invoke ${functionArn}`);
}
