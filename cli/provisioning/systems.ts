import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { iamPlanners, type SystemParts, vaultPlanners } from '../../shared/provisioning/converge.ts';
import type { Declaration } from '../../shared/provisioning/declaration.ts';
import { declarationsState } from '../../shared/provisioning/declarations-state.ts';
import { vaultMounts } from '../../shared/provisioning/vault/mounts.ts';
import { connectVaultAdmin, vaultAdminSettings } from '../../shared/vault/admin.ts';
import { type DeploymentFlags, openDeployment } from '../deployment.ts';
import { CalledWronglyError } from '../exit.ts';

/** What a command that provisions works on. */
export type OpenSystems = (flags: DeploymentFlags) => Promise<SystemParts>;

const environment = z.object({
  VAULT_ADDR: z.string().default(''),
  VAULT_TOKEN: z.string().default(''),
  VAULT_MOUNT: z.string().default('secret'),
});

/** The systems of a deployment, and Vault as the person at the terminal may use it, by the variables that `vault` itself reads. */
export async function openSystems(flags: DeploymentFlags): Promise<SystemParts> {
  const { aws, output, stage } = await openDeployment(flags);
  const { DynamoDBClient } = await import('@aws-sdk/client-dynamodb');
  const { IAMClient } = await import('@aws-sdk/client-iam');
  const { SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const declarations = declarationsState(new DynamoDBClient(aws), output('DeclarationsTableName'));
  const { VAULT_ADDR, VAULT_TOKEN, VAULT_MOUNT } = parsed('The environment', environment, process.env);
  const hasVault = VAULT_ADDR !== '' && VAULT_TOKEN !== '';
  const vault = hasVault
    ? vaultPlanners(
        connectVaultAdmin(parsed('The environment', vaultAdminSettings, process.env)),
        vaultMounts.parse({ kv: VAULT_MOUNT }),
      )
    : undefined;
  return {
    secretsManager: new SecretsManagerClient(aws),
    rotationFunctionArn: output('RotateSecretFunctionArn'),
    kmsKeyId: output('SecretsKeyArn'),
    declarations,
    ...(vault && { vault }),
    iam: iamPlanners({
      iam: new IAMClient(aws),
      deployment: {
        stage,
        busName: output('BusName'),
        invalidationTopicArn: output('InvalidationTopicArn'),
        secretsKeyArn: output('SecretsKeyArn'),
      },
    }),
  };
}

/** Half an agent is none: what is declared of Vault needs it. */
export function assertVault(fleet: readonly Declaration[], { vault }: SystemParts): void {
  const needing = fleet.find(
    (each) => each.kubernetes || each.vault.kvPaths.length > 0 || each.vault.databaseRoles.length > 0,
  );
  if (!vault && needing) {
    throw new CalledWronglyError(`${needing.agentId} needs Vault: give VAULT_ADDR and VAULT_TOKEN`);
  }
}
