import { InvalidRequestException, RotateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { describeFleetSecret } from '../../shared/reconciliation/fleet.ts';
import { incompleteVersion, isRotationOff } from '../../shared/reconciliation/suspicions.ts';
import { called } from '../../shared/secrets-manager/errors.ts';
import { finding, type Kind } from './kind.ts';
import { declarationOf } from './target-drifted.ts';

/** Nobody rotates it. Whether that is meant only its declaration or a person knows. */
export const rotationOff: Kind = {
  kind: 'rotation-off',

  async suspects(fleet, { now }) {
    return { suspects: fleet.filter((secret) => isRotationOff(secret, now())), checked: 'all' };
  },

  /** To turn rotation on is not to rotate: Secrets Manager tries testSecret alone. Done twice, it is on. */
  async settle({ arn }, how, parts) {
    const { secretsManager, rotateFunctionArn, turns, now } = parts;
    const secret = await describeFleetSecret(secretsManager, arn);
    if (!secret || !isRotationOff(secret, now())) return undefined;
    const declaration = await declarationOf(secret, parts);
    if (!declaration) return finding(this.kind, secret, 'rotation is off', 'needs a person');
    const { rotationDays } = declaration;
    const explanation = `rotation is off, and declared to be every ${rotationDays} day(s)`;
    // RotateSecret is refused until what is pending is let go: rotation-stuck does.
    if (how === 'look' || incompleteVersion(secret) !== undefined)
      return finding(this.kind, secret, explanation, 'waiting');
    await turns.write();
    const isOn = await called('RotateSecret', async () => {
      try {
        await secretsManager.send(
          new RotateSecretCommand({
            SecretId: arn,
            RotationLambdaARN: rotateFunctionArn,
            RotationRules: { AutomaticallyAfterDays: rotationDays },
            RotateImmediately: false,
          }),
        );
        return true;
      } catch (error) {
        if (error instanceof InvalidRequestException) return false;
        throw error;
      }
    });
    return finding(this.kind, secret, explanation, isOn ? 'repaired' : 'waiting');
  },
};
