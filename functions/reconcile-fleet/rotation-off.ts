import { describeFleetSecret } from '../../shared/reconciliation/fleet.ts';
import { isRotationOff } from '../../shared/reconciliation/suspicions.ts';
import { finding, type Kind } from './kind.ts';

/** Nobody rotates it. Whether that is meant only a person knows, so nothing is changed. */
export const rotationOff: Kind = {
  kind: 'rotation-off',

  async suspects(fleet, { now }) {
    return { suspects: fleet.filter((secret) => isRotationOff(secret, now())), checked: 'all' };
  },

  async settle({ arn }, _how, { secretsManager, now }) {
    const secret = await describeFleetSecret(secretsManager, arn);
    if (!secret || !isRotationOff(secret, now())) return undefined;
    return finding(this.kind, secret, 'rotation is off', 'needs a person');
  },
};
