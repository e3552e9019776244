import { DescribeKeyCommand, GetKeyRotationStatusCommand } from '@aws-sdk/client-kms';
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { parsed } from '../../events/contract.ts';
import { AwsCallError } from '../../shared/aws/errors.ts';
import { connectVault } from '../../shared/vault/client.ts';
import { vaultHealth } from '../../shared/vault/health.ts';
import { vaultLogin } from '../../shared/vault/login.ts';
import { vaultSettings } from '../../shared/vault/settings.ts';
import { sentenceOf } from '../failure.ts';
import { fleetState } from '../fleet/state.ts';
import { type Check, orWell, unknown, well, wrong } from './check.ts';
import { environmentOf } from './functions.ts';

export const keyIsUsable: Check = {
  name: 'KMS key',
  async run({ kms, output }) {
    const KeyId = output('SecretsKeyArn');
    const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId }));
    if (KeyMetadata?.KeyState !== 'Enabled') {
      return [
        wrong(
          `the key is ${KeyMetadata?.KeyState}: no secret can be read`,
          `aws kms enable-key --key-id ${KeyId}, or cancel-key-deletion`,
        ),
      ];
    }
    const { KeyRotationEnabled } = await kms.send(new GetKeyRotationStatusCommand({ KeyId }));
    return orWell(
      KeyRotationEnabled === true
        ? []
        : [wrong('the key does not rotate', `aws kms enable-key-rotation --key-id ${KeyId}`)],
      'the key is enabled and rotates',
    );
  },
};

/** AWS refuses signatures that are five minutes off; a minute is a clock that nobody keeps. */
const skewMaxMs = 60_000;

export const clockIsRight: Check = {
  name: 'clock',
  async run({ sts, now }) {
    let date: string | undefined;
    sts.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const { response } = result;
        date = headersOf(response).date;
        return result;
      },
      { step: 'deserialize', name: 'keyturn-date', override: true },
    );
    await sts.send(new GetCallerIdentityCommand({}));
    if (date === undefined) return [unknown('AWS told no time', 'try again')];
    const skewMs = Math.abs(Date.parse(date) - now().getTime());
    return orWell(
      skewMs <= skewMaxMs
        ? []
        : [
            wrong(
              `this machine's clock is ${Math.round(skewMs / 1_000)} s off AWS's`,
              'turn on its time synchronisation (NTP)',
            ),
          ],
      "this machine's clock agrees with AWS's",
    );
  },
};

function headersOf(response: unknown): Readonly<Record<string, string | undefined>> {
  if (typeof response !== 'object' || response === null || !('headers' in response)) return {};
  const { headers } = response;
  if (typeof headers !== 'object' || headers === null) return {};
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
}

const probedWithinMs = 5 * 60_000;

export const probesAreFresh: Check = {
  name: 'health check',
  async run({ dynamo, output, now }) {
    const { backends } = await fleetState(dynamo, output('StateTableName'), now);
    const latest = Math.max(0, ...backends.map(({ probedAt = '' }) => Date.parse(probedAt) || 0));
    if (now().getTime() - latest > probedWithinMs) {
      return [wrong('no backend was probed within five minutes', 'docs/runbook/health-check-stopped.md')];
    }
    const ill = backends.filter(({ state }) => state !== 'healthy');
    return orWell(
      ill.map(({ backend, state, reason = '' }) =>
        wrong(`${backend} is ${state}: ${reason}`, 'docs/runbook/backend-unhealthy.md'),
      ),
      `${backends.length} backends are probed each minute, and healthy`,
    );
  },
};

export const vaultIsEnough: Check = {
  name: 'Vault',
  async run(parts) {
    const settings = parsed(
      'The environment of sync-vault-mirror',
      vaultSettings,
      await environmentOf(parts, 'sync-vault-mirror'),
    );
    const {
      VAULT_ADDR: address,
      VAULT_NAMESPACE: namespace,
      VAULT_MOUNT: mount,
      VAULT_AWS_ROLE: role,
    } = settings;
    if (address === '') return [well('deployed without Vault: nothing is mirrored')];
    const health = await vaultHealth(address, 5_000);
    if (health === 'unreachable') {
      return [
        unknown('this machine does not reach Vault; the functions may', 'keyturn health shows what they see'),
      ];
    }
    if (!['active', 'standby', 'performance-standby'].includes(health)) {
      return [wrong(`Vault is ${health}`, 'docs/runbook/backend-unhealthy.md')];
    }
    if (role !== '') {
      return [
        unknown(
          `Vault is ${health}; its policy can only be tried by the functions' own IAM role`,
          'keyturn health shows whether they log in',
        ),
      ];
    }
    const vault = connectVault({
      address,
      namespace,
      mount,
      login: vaultLogin(settings, parts.secretsManager),
    });
    // A path as a mirror has it; nothing is read or written there.
    const path = 'agents/keyturn-doctor/credentials';
    try {
      const [data, metadata] = await Promise.all([
        vault.capabilities('data', path),
        vault.capabilities('metadata', path),
      ]);
      const lacks = [
        ...missing(data, ['create', 'read', 'update']).map(
          (capability) => `${capability} on ${mount}/data/agents/*`,
        ),
        ...missing(metadata, ['create', 'read', 'update', 'delete', 'list']).map(
          (capability) => `${capability} on ${mount}/metadata/agents/*`,
        ),
      ];
      return orWell(
        lacks.length === 0
          ? []
          : [
              wrong(
                `the login of the mirrors lacks ${lacks.join(', ')}`,
                'add it to the policy of its AppRole',
              ),
            ],
        `Vault is ${health}, and the login of the mirrors may write them`,
      );
    } catch (error) {
      // Read with the operator's own credentials, which the functions don't have.
      if (error instanceof AwsCallError) {
        return [
          unknown(
            `the login of the mirrors can't be tried from here: ${sentenceOf(error)}`,
            'keyturn health shows whether the functions log in',
          ),
        ];
      }
      return [
        wrong(
          `the login of the mirrors fails: ${sentenceOf(error)}`,
          'look at the secret vaultLoginSecret, and at its AppRole',
        ),
      ];
    }
  },
};

const missing = (has: readonly string[], needed: readonly string[]): readonly string[] =>
  has.includes('root') ? [] : needed.filter((capability) => !has.includes(capability));
