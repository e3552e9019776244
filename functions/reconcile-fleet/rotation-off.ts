import { describeFleetSecret } from '../../shared/fleet/secrets.ts';
import { incompleteVersion } from '../../shared/labels/stages.ts';
import { planRotation } from '../../shared/provisioning/secrets-manager.ts';
import { isRotationOff } from '../../shared/reconciliation/suspicions.ts';
import { finding, type Kind } from './kind.ts';
import { declarationOf } from './target-drifted.ts';

/** Nobody rotates it. Whether that is meant only its declaration or a person knows. */
export const rotationOff: Kind = {
  kind: 'rotation-off',
  provesSuspects: true,

  async suspects(fleet, { now }) {
    return { suspects: fleet.filter((secret) => isRotationOff(secret, now())), checked: 'all' };
  },

  /** To turn rotation on is not to rotate: Secrets Manager tries testSecret alone. Done twice, it is on. */
  async settle({ arn }, how, parts) {
    const { secretsManager, rotateFunctionArn: rotationFunctionArn, turns, now } = parts;
    const secret = await describeFleetSecret(secretsManager, arn);
    if (!secret || !isRotationOff(secret, now())) return undefined;
    const declaration = await declarationOf(secret, parts);
    const changes = declaration
      ? await planRotation(declaration, { secretsManager, rotationFunctionArn })
      : [];
    if (changes.length === 0) return finding(this.kind, secret, 'rotation is off', 'needs a person');
    const explanation = 'rotation is off, and declared to be on';
    // RotateSecret is refused until what is pending is let go: rotation-stuck does, and the next look goes on.
    if (how === 'look' || incompleteVersion(secret) !== undefined)
      return finding(this.kind, secret, explanation, 'waiting');
    for (const change of changes) {
      await turns.write();
      await change.apply();
    }
    return finding(this.kind, secret, explanation, 'repaired');
  },
};
