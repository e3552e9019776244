import { describeFleetSecret } from '../../shared/fleet/secrets.ts';
import { versionDates } from '../../shared/labels/read.ts';
import { versionWith } from '../../shared/labels/stages.ts';
import { rotateOnce } from '../../shared/reconciliation/rotate-once.ts';
import { overdueSince, windowMs } from '../../shared/reconciliation/suspicions.ts';
import { called } from '../../shared/secrets-manager/errors.ts';
import { finding, type Kind } from './kind.ts';

/** The schedule should have rotated it, and no rotation has begun. */
export const rotationOverdue: Kind = {
  kind: 'rotation-overdue',
  provesSuspects: true,

  async suspects(fleet, { now }) {
    return { suspects: fleet.filter((secret) => overdueSince(secret, now())), checked: 'all' };
  },

  /**
   * Dates are read first: a version that another run has made since is then not among them, and its secret is left alone.
   * The token is the same in every run, so whoever asks second begins nothing.
   */
  async settle({ arn }, how, { secretsManager, turns, now }) {
    await turns.list();
    const createdAt = await called('ListSecretVersionIds', () => versionDates(secretsManager, arn));
    const secret = await describeFleetSecret(secretsManager, arn);
    const due = secret && overdueSince(secret, now());
    const current = secret && versionWith('AWSCURRENT', secret);
    const madeAt = current !== undefined && Object.hasOwn(createdAt, current) && createdAt[current];
    if (!secret || !due || current === undefined || !madeAt) return undefined;
    // It has rotated in that window: Secrets Manager notes the date later, and not where a reconciler ended the rotation.
    if (madeAt.getTime() > due.getTime() - windowMs(secret)) return undefined;
    const explanation = `its rotation was due at ${due.toISOString()}`;
    if (how === 'look') return finding(this.kind, secret, explanation, 'waiting');
    await turns.write();
    const begun = (await rotateOnce(secretsManager, arn, current, createdAt)) === 'begun';
    return finding(this.kind, secret, explanation, begun ? 'repaired' : 'waiting');
  },
};
