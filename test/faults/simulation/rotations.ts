import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import { SecretsManagerError } from '../../../local/secrets-manager/errors.ts';
import type { RotationEvent } from '../../../local/secrets-manager/rotation.ts';
import { OvertakenError } from '../../../shared/rotators/errors.ts';
import { earlyRequest } from './early-revocation.ts';
import { isStillWanted, quietMs } from './failing-steps.ts';
import { nameOf } from './invocation.ts';
import { isAdminSecret, type Line, lineOf } from './line.ts';
import type { Random } from './random.ts';
import { logOf, runOf, theirClock } from './runs.ts';
import { uuidOf } from './substitutes.ts';
import { minute } from './virtual-time.ts';
import type { World } from './world.ts';

export const rotateFunctionArn = 'arn:aws:lambda:eu-central-1:123456789012:function:keyturn-rotate-secret';

/** One step of a rotation. One that fails where nothing went wrong of late fails by itself. */
export async function takeStep(world: World, event: RotationEvent, line: Line): Promise<void> {
  const { time, troubles, engine, oracle } = world;
  const beganAt = time.now();
  try {
    await step(world, event, line);
  } catch (error) {
    const token = event.ClientRequestToken;
    const isRight =
      line.abandoned.has(token) || (error instanceof OvertakenError && line.undercut.has(token));
    const isQuiet = troubles.quietFor(quietMs, `${line.index}/`, beganAt);
    if (!isRight && isQuiet && (await isStillWanted(engine, event))) {
      oracle.violated('no step fails by itself', line.secret, `${event.Step}: ${nameOf(error)}`);
    }
    throw error;
  }
}

function step(world: World, event: RotationEvent, line: Line): Promise<void> {
  const { secretsManager, bus, time } = world;
  return runOf(world, `rotate-secret.${event.Step}`, line, 30_000, () =>
    rotateSecret(event, {
      secretsManager,
      bus,
      log: logOf(world, line),
      count: () => undefined,
      now: theirClock(world),
      pause: time.sleep,
      allowedSecrets: undefined,
      isAdminSecret,
    }),
  );
}

/** How Secrets Manager calls it: sometimes twice at once, or while somebody takes the rotation away, or asks for the next. */
export async function runRotationStep(world: World, event: RotationEvent): Promise<void> {
  const { history, faults, time } = world;
  const line = lineOf(world, event.SecretId);
  await history.note(line.arn);
  if (faults.strikes('concurrent', 0.02, line.random, `${line.index}/${line.invocations}`)) {
    time.after(line.random.between(0, 400), () => void takeStep(world, event, line).catch(() => undefined));
  }
  const own = line.random.fork(`abandoned ${line.invocations}`);
  if (faults.strikes('abandoned', 0.02, own, `${line.index}/${line.invocations}`)) {
    time.after(own.between(0, 1_500), () => {
      void abandon(world, line).then((was) => (was ? askForRotation(world, line) : undefined));
    });
  }
  await takeStep(world, event, line);
  time.after(1, () => void history.note(line.arn));
  const isOver = event.Step === 'finishSecret';
  if (isOver && faults.strikes('asked again', 0.05, own, `${line.index}/${line.invocations}`)) {
    time.after(own.between(10, 2_000), () => void askForRotation(world, line));
  }
}

/** RotateSecret, as a schedule or a person calls it. */
export async function askForRotation({ engine, history }: World, line: Line): Promise<void> {
  try {
    await engine.RotateSecret({
      SecretId: line.arn,
      ClientRequestToken: uuidOf(line.random),
      RotationLambdaARN: rotateFunctionArn,
    });
  } catch (error) {
    if (!(error instanceof SecretsManagerError)) throw error;
  }
  await history.note(line.arn);
}

/** Asks for a rotation after each grace period, until the plan's number is reached. */
export function startRotations(world: World, line: Line): void {
  const { time, faults, plan } = world;
  let asked = 0;
  const next = async () => {
    if (!world.active || asked >= plan.rotations) return;
    asked += 1;
    const abandons = faults.strikes('abandoned', 0.3, line.random, `${line.index}/asked ${asked}`);
    if (abandons) await abandon(world, line);
    await askForRotation(world, line);
    const own = line.random.fork(`early ${asked}`);
    if (faults.strikes('asked early', 0.3, own, `${line.index}/asked ${asked}`)) {
      time.after(own.between(0, line.graceMs), () => void askEarly(world, line, own));
    }
    time.after(line.graceMs + line.random.between(10, 40) * minute, () => void next());
  };
  time.after(line.random.between(0, 60 * minute), () => void next());
}

/** Somebody asks for a revocation before its time. */
async function askEarly({ engine, time, subscribers }: World, line: Line, own: Random): Promise<void> {
  const request = await earlyRequest(engine, line, time.now(), own);
  if (request) await subscribers.revoke.handle(request).catch(() => undefined);
}

/** Somebody takes AWSPENDING off by hand. Whether a rotation was under way. */
async function abandon({ engine }: World, line: Line): Promise<boolean> {
  let was = false;
  const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: line.arn });
  for (const [versionId, stages] of Object.entries(VersionIdsToStages)) {
    if (!stages.includes('AWSPENDING') || stages.includes('AWSCURRENT')) continue;
    line.abandoned.add(versionId);
    await engine.UpdateSecretVersionStage({
      SecretId: line.arn,
      VersionStage: 'AWSPENDING',
      RemoveFromVersionId: versionId,
    });
    was = true;
  }
  return was;
}
