import type { VaultAdmin } from '../vault/admin.ts';
import { type AppliedParts, planApplied, planEnding, planForgetting } from './applied.ts';
import type { EndPlanners } from './end.ts';
import { type IamParts, planIam, planIamEnd } from './iam/plan.ts';
import { noting, type Planner } from './plan.ts';
import { planLoginsEnd } from './postgres/logins-end.ts';
import { planRolesEnd } from './postgres/roles-end.ts';
import { planPostgres } from './postgres.ts';
import {
  planRotation,
  planRotationEnd,
  planSecret,
  planSecretEnd,
  type SecretParts,
} from './secrets-manager.ts';
import { planVaultEnd } from './vault/end.ts';
import type { VaultMounts } from './vault/mounts.ts';
import { planVault } from './vault/plan.ts';

/** How an agent is planned in a system, and how its end there is. */
export interface SystemPlanners {
  readonly plan: Planner;
  readonly end: Planner;
}

/**
 * The planners of Vault, for `SystemParts.vault`.
 *
 * @example vaultPlanners(connectVaultAdmin(vaultAdminSettings.parse(process.env)), defaultMounts);
 */
export function vaultPlanners(vault: VaultAdmin, mounts: VaultMounts): SystemPlanners {
  return {
    plan: noting((declaration) => planVault(declaration, { vault, mounts })),
    end: noting((declaration) => planVaultEnd(declaration, { vault, mounts })),
  };
}

/**
 * The planners of IAM, for `SystemParts.iam`.
 *
 * @example iamPlanners({ iam: new IAMClient(), deployment: { stage, busName, invalidationTopicArn, secretsKeyArn } });
 */
export function iamPlanners(parts: IamParts): SystemPlanners {
  return {
    plan: noting((declaration) => planIam(declaration, parts)),
    end: noting((declaration) => planIamEnd(declaration, parts)),
  };
}

/**
 * What the planners work on: every system but Vault and IAM, whose planners are given where there are any. `apply` uses the
 * deployment's outputs `DeclarationsTableName`, `RotateSecretFunctionArn` and `SecretsKeyArn`.
 */
export interface SystemParts extends AppliedParts, SecretParts {
  readonly vault?: SystemPlanners | undefined;
  readonly iam?: SystemPlanners | undefined;
}

/**
 * The planners of an agent, in their order: the note of what is declared, the secret with its first login, the login, rotation,
 * which tries it; then what the agent is let into.
 */
export function plannersOf(parts: SystemParts): readonly Planner[] {
  return [
    (declaration) => planApplied(declaration, parts),
    (declaration) => planSecret(declaration, parts),
    noting((declaration) => planPostgres(declaration, parts)),
    noting((declaration) => planRotation(declaration, parts)),
    ...(parts.vault ? [parts.vault.plan] : []),
    ...(parts.iam ? [parts.iam.plan] : []),
  ];
}

/** What ends an agent: rotation goes first, since it would give the agent a login again. */
export function endPlannersOf(parts: SystemParts & { readonly recoveryDays: number }): EndPlanners {
  return {
    access: [
      noting((declaration) => planEnding(declaration, parts)),
      noting((declaration) => planRotationEnd(declaration, parts)),
      ...(parts.iam ? [parts.iam.end] : []),
      ...(parts.vault ? [parts.vault.end] : []),
      noting((declaration) => planLoginsEnd(declaration, parts)),
    ],
    rest: [
      noting((declaration) => planSecretEnd(declaration, parts)),
      noting((declaration) => planRolesEnd(declaration, parts)),
      noting((declaration) => planForgetting(declaration, parts)),
    ],
  };
}
