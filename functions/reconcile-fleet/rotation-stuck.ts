import { describeFleetSecret, type FleetSecret } from '../../shared/fleet/secrets.ts';
import { versionDates } from '../../shared/labels/read.ts';
import { incompleteVersion, versionWith } from '../../shared/labels/stages.ts';
import type { Finding } from '../../shared/reconciliation/finding.ts';
import { attemptAgain, rotateOnce } from '../../shared/reconciliation/rotate-once.ts';
import { type Advice, adviceFor, causeOf, explained } from '../../shared/reconciliation/stuck.ts';
import { stuckAfterMs } from '../../shared/reconciliation/suspicions.ts';
import { steps } from '../../shared/rotation/rotation.ts';
import { called } from '../../shared/secrets-manager/errors.ts';
import { releasePending } from '../../shared/secrets-manager/versions.ts';
import { finding, type Kind, type ReconcileParts } from './kind.ts';
import { afterFailure } from './step-failure.ts';

/** A rotation began and doesn't end, and RotateSecret begins no other meanwhile. */
export const rotationStuck: Kind = {
  kind: 'rotation-stuck',
  // All rotations that run are.
  provesSuspects: false,

  async suspects(fleet) {
    const suspects = fleet.filter((secret) => incompleteVersion(secret) !== undefined);
    return { suspects, checked: 'all' };
  },

  async settle({ arn }, how, parts) {
    const stuck = await incompleteRotation(arn, parts);
    if (!stuck || parts.now().getTime() < stuck.since.getTime() + stuckAfterMs) return undefined;
    const { secret, versionId } = stuck;
    const cause = await causeOf(parts.secretsManager, secret, versionId);
    const explanation = `since ${stuck.since.toISOString()}: ${explained(cause)}`;
    if (how === 'look') return finding(this.kind, secret, explanation, 'waiting');
    const { outcome, more } = await end(stuck, adviceFor(cause), parts);
    return finding(this.kind, secret, [explanation, ...more].join('; '), outcome);
  },
};

export interface IncompleteRotation {
  readonly secret: FleetSecret;
  readonly versionId: string;
  readonly since: Date;
  readonly createdAt: Readonly<Record<string, Date>>;
}

/** A secret's rotation that has begun and not ended. Dates first: the labels are never older than they are. */
export async function incompleteRotation(
  secretArn: string,
  { secretsManager, turns }: Pick<ReconcileParts, 'secretsManager' | 'turns'>,
): Promise<IncompleteRotation | undefined> {
  await turns.list();
  const createdAt = await called('ListSecretVersionIds', () => versionDates(secretsManager, secretArn));
  const secret = await describeFleetSecret(secretsManager, secretArn);
  const versionId = secret && incompleteVersion(secret);
  const since = versionId !== undefined && Object.hasOwn(createdAt, versionId) && createdAt[versionId];
  return secret && versionId !== undefined && since ? { secret, versionId, since, createdAt } : undefined;
}

export interface Ended {
  readonly outcome: Finding['outcome'];
  /** What is to be said besides the cause. */
  readonly more: readonly string[];
}

/** Ends a rotation as the advice is, or as a person asks who knows better. */
export const end = (stuck: IncompleteRotation, how: Advice, parts: ReconcileParts): Promise<Ended> =>
  (how === 'complete' ? complete : abandon)(stuck, parts);

/**
 * Takes the same rotation to its end, by the steps that Secrets Manager itself would ask for again: each judges by the labels,
 * and does nothing where it was done. testSecret stands before finishSecret, so nothing is promoted that it refuses. Beside
 * Secrets Manager's own attempt, both do the same with the same token; killed, the next run finds the rotation where it was left.
 * The last step of one that would pass for the rotation before it is left to Secrets Manager.
 */
export async function complete(
  stuck: IncompleteRotation,
  parts: Pick<ReconcileParts, 'secretsManager' | 'turns' | 'takeStep'>,
): Promise<Ended> {
  const { secret, versionId } = stuck;
  for (const step of steps) {
    if (step === 'finishSecret' && isOlderThanLastRotation(stuck)) {
      await parts.turns.write();
      await attemptAgain(parts.secretsManager, secret.arn, versionId);
      return { outcome: 'waiting', more: ['Secrets Manager was asked to take its last step'] };
    }
    // Two of the steps write.
    if (step === 'createSecret' || step === 'finishSecret') await parts.turns.write();
    const errorClass = await parts.takeStep(step, secret.arn, versionId);
    if (errorClass === undefined) continue;
    const failed = `${step} fails with ${errorClass}`;
    switch (afterFailure(errorClass)) {
      case 'wait':
        return { outcome: 'waiting', more: [failed] };
      case 'abandon': {
        const { more } = await abandon(stuck, parts);
        return { outcome: 'waiting', more: [failed, ...more] };
      }
      case 'ask a person':
        return { outcome: 'needs a person', more: [failed] };
    }
  }
  return { outcome: 'repaired', more: ['the rotation was completed'] };
}

/**
 * Whether its version was made before Secrets Manager noted the end of the rotation before: RotateSecret was called again while
 * that one's last step was repeated. Secrets Manager notes no end that a reconciler brings about, so that date would pass for this
 * version's, and the grace period of what it supersedes would have begun, or ended, before it came into force. To let it go
 * instead would leave a version of which nothing tells that it never was in force, were this run killed before the next rotation.
 */
function isOlderThanLastRotation({ secret: { lastRotatedAt }, since }: IncompleteRotation): boolean {
  return lastRotatedAt !== undefined && lastRotatedAt >= since;
}

/**
 * Lets the pending version go, and begins the next rotation where rotation is on. AWSCURRENT is untouched, and the twin that
 * the version may have been given to is overwritten by that next rotation. Killed between the two, the secret is overdue by
 * its dates, or rotates with its schedule. A run at the same time may have completed the rotation before the version was let go:
 * another one on top would overwrite a login in its grace. It may complete it for some seconds more; the next rotation's setSecret
 * waits for that (ADR 3).
 */
export async function abandon(
  { secret, versionId, createdAt }: IncompleteRotation,
  { secretsManager, turns }: Pick<ReconcileParts, 'secretsManager' | 'turns'>,
): Promise<Ended> {
  await turns.write();
  await releasePending(secretsManager, secret.arn, versionId);
  const current = versionWith('AWSCURRENT', secret);
  const left = await describeFleetSecret(secretsManager, secret.arn);
  if (!left || versionWith('AWSCURRENT', left) !== current) {
    return { outcome: 'repaired', more: ['another run has completed a rotation'] };
  }
  if (!secret.rotationEnabled || current === undefined) {
    return { outcome: 'repaired', more: ['its version was let go; rotation is off'] };
  }
  await turns.write();
  const begun = await rotateOnce(secretsManager, secret.arn, current, createdAt);
  return { outcome: 'repaired', more: [`its version was let go, and the next rotation is ${begun}`] };
}
