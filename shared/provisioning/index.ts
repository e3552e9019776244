// What `keyturn apply`, `provision` and `deprovision` are made of, for programs.
export { AwsCallError } from '../aws/errors.ts';
export { InvalidSecretError } from '../credential/errors.ts';
export type { Json } from '../credential/secret-json.ts';
export { SecretValue } from '../credential/secret-value.ts';
export { NoCurrentVersionError } from '../rotation/errors.ts';
export {
  AdminPrivilegeError,
  AlternateTakenError,
  ConfusedDeputyError,
  CredentialRefusedError,
  TargetFailedError,
  TargetUnreachableError,
} from '../rotators/errors.ts';
export { SecretsManagerError } from '../secrets-manager/errors.ts';
export { connectVaultAdmin, type VaultAdmin, vaultAdminSettings } from '../vault/admin.ts';
export {
  VaultDeniedError,
  VaultResponseError,
  VaultSealedError,
  VaultStandbyError,
  VaultUnreachableError,
} from '../vault/errors.ts';
export {
  type AgentSecret,
  type AgentSecretOptions,
  AgentSecretTakenError,
  createAgentSecret,
  deleteAgentSecret,
  InvalidAgentIdError,
} from './agent-secret.ts';
export type { AppliedParts } from './applied.ts';
export type { Change, Planned, System } from './change.ts';
export {
  endPlannersOf,
  iamPlanners,
  plannersOf,
  type SystemParts,
  type SystemPlanners,
  vaultPlanners,
} from './converge.ts';
export { type Declaration, DeclarationError, readDeclaration } from './declaration.ts';
export {
  type AppliedDeclarations,
  DeclarationContendedError,
  declarationsState,
  type KnownDeclaration,
} from './declarations-state.ts';
export { type EndOutcome, type EndPlanners, endAgent, planEnd } from './end.ts';
export { refuseSharing } from './fleet.ts';
export { type IamParts, planIam, planIamEnd } from './iam/plan.ts';
export { agentPolicy, type IamDeployment } from './iam/policy.ts';
export {
  type AgentOutcome,
  type AgentPlan,
  applyPlan,
  type Failed,
  type Made,
  type Planner,
  planFleet,
} from './plan.ts';
export { UsedElsewhereError } from './postgres/roles-end.ts';
export { readDeclarations } from './read-files.ts';
export type { SecretParts } from './secrets-manager.ts';
export { LeasesRemainError, planVaultEnd } from './vault/end.ts';
export { defaultMounts, type VaultMounts, vaultMounts } from './vault/mounts.ts';
export { DatabaseConnectionError, planVault, type VaultParts } from './vault/plan.ts';
export { vaultPolicy } from './vault/policy.ts';
