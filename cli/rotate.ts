import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { ResourceNotFoundException, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { Command, InvalidArgumentError } from 'commander';
import { describeSecret, versionDates } from '../shared/labels/read.ts';
import { incompleteVersion } from '../shared/labels/stages.ts';
import { isManaged } from '../shared/labels/tags.ts';
import { called } from '../shared/secrets-manager/errors.ts';
import { type DeploymentFlags, onDeployment, openDeployment } from './deployment.ts';
import { exit } from './exit.ts';
import { plain, sentenceOf } from './failure.ts';
import { watchBus } from './live-events.ts';
import { terminal } from './output.ts';
import { queues } from './queues.ts';
import { dangersOf } from './rotation/dangers.ts';
import { begin, follow, type RotationOutcome } from './rotation/follow.ts';
import { stopped } from './stop.ts';
import { lineOf } from './tail.ts';

interface RotateFlags extends DeploymentFlags {
  readonly wait: boolean;
  readonly timeout: number;
  readonly yes: boolean;
}

/** The secret can't be rotated as it is. Nothing was changed. */
class NotRotatableError extends Error {
  override readonly name = 'NotRotatableError';
}

/** `keyturn rotate`: one rotation, now. */
export function rotateCommand(): Command {
  return onDeployment(new Command('rotate'))
    .description('Rotate a secret now')
    .argument('<secret>', 'its name or ARN')
    .option('--wait', 'follow the rotation until it is done or has failed', false)
    .option('--timeout <seconds>', 'how long to follow it', positive, 300)
    .option('-y, --yes', 'do not ask where it is dangerous', false)
    .addHelpText(
      'after',
      `
It asks where instances could fail: a login that is still in its grace period would be taken from those that use it, and
a secret with keyturn:strategy single-user has no second login.

Exits with 1 where the rotation failed, or wasn't done in time. --json prints {schemaVersion, secret, secretArn,
rotationId, outcome, step, errorClass, seconds}; outcome is begun, rotated, failed or pending.`,
    )
    .action(rotate);
}

async function rotate(secretId: string, flags: RotateFlags): Promise<void> {
  const output = terminal();
  const { aws, output: outputOf } = await openDeployment(flags);
  const secretsManager = new SecretsManagerClient(aws);
  const secret = await describeSecret(secretsManager, secretId).catch((error: unknown) => {
    if (error instanceof ResourceNotFoundException)
      throw new NotRotatableError(`there is no secret ${secretId}`);
    throw error;
  });
  const { arn, name, tags } = secret;
  if (!isManaged(tags)) throw new NotRotatableError(`${name} is not tagged managed_by=agent-platform`);
  if (!secret.rotationEnabled)
    throw new NotRotatableError(`rotation of ${name} is off: turn it on with keyturn apply`);
  if (incompleteVersion(secret) !== undefined) {
    throw new NotRotatableError(
      `a rotation of ${name} is under way, or was given up: look at keyturn status, and at keyturn unstick`,
    );
  }
  const createdAt = await called('ListSecretVersionIds', () => versionDates(secretsManager, arn));
  const dangers = dangersOf({ ...secret, createdAt }, new Date());
  if (dangers.length > 0) await output.confirm(`${dangers.join(' ')} Rotate ${plain(name)} now?`, flags);

  await using parts = new AsyncDisposableStack();
  const clients = { eventBridge: new EventBridgeClient(aws), sqs: queues(aws) };
  const stop = flags.wait ? stopped() : new AbortController().signal;
  // Opened before the rotation, or its first events would be missed.
  const live = flags.wait
    ? await watchBus(clients, outputOf('BusName'), { secretArn: [arn] }).then(
        (watch) => parts.use(watch),
        (error: unknown) => output.say(`Without live events, only the labels tell: ${sentenceOf(error)}`),
      )
    : undefined;
  const rotationId = await begin(secretsManager, arn);
  const began = performance.now();
  const outcome: RotationOutcome = flags.wait
    ? await follow(
        { secretArn: arn, rotationId },
        {
          secretsManager,
          live: live ?? undefined,
          state: { dynamo: new DynamoDBClient(aws), table: outputOf('StateTableName') },
          timeoutMs: flags.timeout * 1_000,
          stop,
          say: (event) => output.say(lineOf(event, output.colors)),
        },
      )
    : { outcome: 'begun' };
  const took = (performance.now() - began) / 1_000;
  const seconds = Number(took.toFixed(1));
  process.exitCode = outcome.outcome === 'failed' || outcome.outcome === 'pending' ? exit.failed : exit.done;
  if (flags.json) {
    output.json({ schemaVersion: 1, secret: name, secretArn: arn, rotationId, ...outcome, seconds });
    return;
  }
  switch (outcome.outcome) {
    case 'begun':
      output.print(`The rotation of ${plain(name)} has begun: ${rotationId}. keyturn tail shows it.`);
      break;
    case 'rotated':
      output.print(
        output.colors.green(`${plain(name)} is rotated: version ${rotationId}, after ${seconds} s.`),
      );
      break;
    case 'failed':
      output.say(
        `keyturn: the rotation of ${plain(name)} failed at ${outcome.step ?? 'a step that the log of rotate-secret names'}` +
          `${outcome.errorClass === undefined ? '' : `: ${outcome.errorClass}`}. The agent keeps its current credential, ` +
          'and Secrets Manager tries again by itself; docs/runbook/rotation-failed.md says what each error means.',
      );
      break;
    case 'pending':
      output.say(
        `keyturn: the rotation of ${plain(name)} was not done after ${seconds} s, and goes on: ${rotationId}`,
      );
  }
}

function positive(text: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number <= 0) throw new InvalidArgumentError('Expected seconds.');
  return number;
}
