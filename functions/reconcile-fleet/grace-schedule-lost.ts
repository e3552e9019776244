import { scheduledGraceEnds, scheduleGraceEnd } from '../../shared/grace/schedule.ts';
import { rotatedVersions } from '../../shared/reconciliation/rotated-versions.ts';
import { graceOf } from '../../shared/reconciliation/suspicions.ts';
import { finding, type Kind } from './kind.ts';

/** A grace period runs that nothing will end: its schedule was never made, or was deleted. */
export const graceScheduleLost: Kind = {
  kind: 'grace-schedule-lost',
  provesSuspects: true,

  async suspects(fleet, { scheduler, schedule, now }) {
    const isScheduled = await scheduledGraceEnds(scheduler, schedule.groupName);
    const suspects = fleet.filter((secret) => {
      const grace = graceOf(secret, now());
      if (grace?.kind === 'unreadable') return true;
      return (
        grace?.kind === 'running' &&
        !isScheduled({ secretArn: secret.arn, currentVersionId: grace.currentVersionId })
      );
    });
    return { suspects, checked: 'all' };
  },

  /**
   * The schedule has the name that announce-rotation gives it, so where that makes it at the same time there is one of them. One
   * that has run is deleted: then the grace period is over, and this isn't reached.
   */
  async settle(listed, how, { secretsManager, scheduler, schedule, turns, now }) {
    const unreadable = graceOf(listed, now());
    if (unreadable?.kind === 'unreadable') {
      return finding(this.kind, listed, `its tag ${unreadable.tag} can't be read`, 'needs a person');
    }
    await turns.list();
    const rotated = await rotatedVersions(secretsManager, listed.arn);
    if (!rotated || graceOf(rotated.secret, now())?.kind !== 'running') return undefined;
    const { secret, supersededVersionId, currentVersionId, graceEndsAt } = rotated;
    const explanation = `nothing would have ended its grace period at ${graceEndsAt.toISOString()}`;
    if (how === 'look') return finding(this.kind, secret, explanation, 'waiting');
    const ended = {
      secretArn: secret.arn,
      supersededVersionId,
      currentVersionId,
      rotationId: currentVersionId,
      graceEndsAt: graceEndsAt.toISOString(),
    };
    const outcome = await scheduleGraceEnd(scheduler, schedule, ended, now());
    return outcome === 'scheduled' ? finding(this.kind, secret, explanation, 'repaired') : undefined;
  },
};
