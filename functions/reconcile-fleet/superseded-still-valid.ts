import { rotatedVersions } from '../../shared/reconciliation/rotated-versions.ts';
import { supersededLogins } from '../../shared/reconciliation/superseded-logins.ts';
import { graceOf } from '../../shared/reconciliation/suspicions.ts';
import { targetLogins } from '../../shared/reconciliation/target-logins.ts';
import { finding, type Kind } from './kind.ts';
import { afterFailure } from './step-failure.ts';

/** The grace period is over, and the target still takes what was superseded: its revocation was missed. */
export const supersededStillValid: Kind = {
  kind: 'superseded-still-valid',
  provesSuspects: true,

  async suspects(fleet, parts) {
    const { logins, complete } = await targetLogins(parts);
    const { now } = parts;
    const { superseded, seen } = supersededLogins(fleet, logins);
    const suspects = new Set(superseded.map(({ secret }) => secret));
    return {
      suspects: [...suspects].filter((secret) => graceOf(secret, now())?.kind === 'over'),
      checked: complete ? 'all' : seen,
    };
  },

  /**
   * Revoking is revoke-superseded's business, which judges by labels, dates and the target's own note, and may be repeated. A
   * change by hand revokes nothing, as ever.
   */
  async settle({ arn }, how, { secretsManager, revoke, turns, now }) {
    await turns.list();
    const rotated = await rotatedVersions(secretsManager, arn);
    if (!rotated || graceOf(rotated.secret, now())?.kind !== 'over') return undefined;
    if (now() < rotated.graceEndsAt) return undefined;
    const { secret, supersededVersionId, currentVersionId, graceEndsAt } = rotated;
    const explanation = `its grace period ended at ${graceEndsAt.toISOString()}, and the target takes the superseded login`;
    if (how === 'look') return finding(this.kind, secret, explanation, 'waiting');
    const outcome = await revoke({
      secretArn: arn,
      supersededVersionId,
      currentVersionId,
      rotationId: currentVersionId,
      graceEndsAt: graceEndsAt.toISOString(),
    });
    if (typeof outcome === 'object') {
      const isPassing = afterFailure(outcome.errorClass) === 'wait';
      return finding(
        this.kind,
        secret,
        `${explanation}; revoke-superseded fails with ${outcome.errorClass}`,
        isPassing ? 'waiting' : 'needs a person',
      );
    }
    switch (outcome) {
      case 'revoked':
        return finding(this.kind, secret, explanation, 'repaired');
      case 'pruned':
        return finding(
          this.kind,
          secret,
          `${explanation}; its version is gone, so only the target knows its name`,
          'needs a person',
        );
      // A rotation or a rollback came between: the login is wanted again.
      default:
        return undefined;
    }
  },
};
