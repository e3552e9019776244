/** RotateSecret and CancelRotateSecret, and the rotations that a schedule brings. */
import { exists, invalidParameter, invalidRequest } from './errors.ts';
import { attach, CURRENT, carrierOf, PENDING } from './labels.ts';
import type { Request } from './requests.ts';
import type { Rotations } from './rotation.ts';
import { windowAfter } from './schedule.ts';
import type { RotationRules, Secret } from './secrets.ts';
import type { Change, Surroundings } from './versions.ts';

/** Where AWSPENDING sits on a version that isn't AWSCURRENT, that rotation isn't complete. */
export function incompleteRotation(secret: Secret): string | undefined {
  const pending = carrierOf(secret.labels, PENDING);
  return pending === carrierOf(secret.labels, CURRENT) ? undefined : pending;
}

export function rotateSecret(
  secret: Secret,
  request: Omit<Request<'RotateSecret'>, 'SecretId'>,
  { now, randomId, rotations }: Surroundings & { readonly rotations: Rotations },
): Change<{ ARN: string; Name: string; VersionId?: string }> {
  const token = request.ClientRequestToken ?? randomId();
  const lambdaArn = request.RotationLambdaARN ?? secret.rotation?.lambdaArn;
  if (!lambdaArn) {
    throw invalidRequest('No Lambda rotation function ARN is associated with this secret.');
  }
  const answer = { ARN: secret.arn, Name: secret.name, VersionId: token };
  const incomplete = incompleteRotation(secret);
  if (incomplete === token && request.RotateImmediately !== false) {
    // The client repeats a request whose answer it missed.
    rotations.start(secret, token);
    return { result: answer, moves: [] };
  }
  if (incomplete !== undefined) {
    rotations.start(secret, incomplete);
    throw invalidRequest("A previous rotation isn't complete. That rotation will be reattempted.");
  }
  if (carrierOf(secret.labels, CURRENT) === token) return { result: answer, moves: [] };
  if (secret.versions.has(token)) throw exists(`A version with the token ${token} already exists.`);
  configure(secret, lambdaArn, request.RotationRules, now());
  const moves = beginVersion(secret, token, now());
  if (request.RotateImmediately === false) rotations.rehearse(secret, token);
  else rotations.start(secret, token);
  return { result: answer, moves };
}

/** Rules that aren't given stay as they were; those that are, replace the old ones as a whole. */
function configure(secret: Secret, lambdaArn: string, given: RotationRules | undefined, now: Date) {
  if (given && !given.AutomaticallyAfterDays && !given.ScheduleExpression && given.Duration) {
    throw invalidParameter('A Duration needs a ScheduleExpression or AutomaticallyAfterDays.');
  }
  const rules = given ?? secret.rotation?.rules ?? {};
  secret.rotation = {
    enabled: true,
    lambdaArn,
    rules,
    last: secret.rotation?.last,
    next: windowAfter(rules, now),
  };
  secret.lastChanged = now;
}

/** The empty version on which the rotation works, under AWSPENDING. */
function beginVersion(secret: Secret, token: string, now: Date) {
  const { labels, moves } = attach(secret.labels, token, [PENDING]);
  secret.versions.set(token, { id: token, created: now, value: undefined, lastAccessed: undefined });
  secret.labels = labels;
  return moves;
}

/** AWSPENDING stays where it is; a rotation that runs ends after its present step. */
export function cancelRotateSecret(secret: Secret) {
  if (secret.rotation) {
    secret.rotation.enabled = false;
    secret.rotation.next = undefined;
    secret.rotation.rules = {};
  }
  const VersionId = incompleteRotation(secret);
  return { ARN: secret.arn, Name: secret.name, ...(VersionId && { VersionId }) };
}

/**
 * Begins the rotation of a secret whose window has opened: a fresh one, or again the one that isn't complete. However
 * many windows went by, it rotates once.
 */
export function rotateIfDue(
  secret: Secret,
  { now, randomId, rotations }: Surroundings & { readonly rotations: Rotations },
): Change<string | undefined> {
  const { rotation } = secret;
  const idle = { result: undefined, moves: [] };
  if (!rotation?.enabled || secret.deleted || !rotation.next || rotation.next.opens > now()) return idle;
  if (rotations.isRunning(secret)) return idle;
  rotation.next = windowAfter(rotation.rules, now());
  const incomplete = incompleteRotation(secret);
  const token = incomplete ?? randomId();
  const moves = incomplete === undefined ? beginVersion(secret, token, now()) : [];
  rotations.start(secret, token);
  return { result: token, moves };
}
