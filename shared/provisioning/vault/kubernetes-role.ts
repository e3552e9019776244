import type { Declaration } from '../declaration.ts';
import type { Fields } from '../diff.ts';
import { policyName } from './policy.ts';

/** The role bears the agent's id, which is what the agent logs in with. */
export const kubernetesRoleName = (agentId: string) => agentId;

/**
 * The role by which the pods of one service account log in, and no others: to one policy, not to Vault's default one, which
 * would let them renew any lease whose id they know. What could widen it is said to be off; addresses that it is narrowed to
 * stay as they are.
 *
 * A token lives for 20 minutes after its agent is gone, and for a day at most.
 */
export function kubernetesRole({
  agentId,
  kubernetes,
}: Pick<Declaration, 'agentId' | 'kubernetes'>): Fields | undefined {
  if (!kubernetes) return undefined;
  const { serviceAccount, namespace, audience } = kubernetes;
  return {
    bound_service_account_names: [serviceAccount],
    bound_service_account_namespaces: [namespace],
    bound_service_account_namespace_selector: '',
    audience,
    // A service account that is made again under the same name is another one to Vault's identities.
    alias_name_source: 'serviceaccount_uid',
    token_policies: [policyName(agentId)],
    token_no_default_policy: true,
    token_ttl: 1_200,
    token_max_ttl: 86_400,
    token_explicit_max_ttl: 0,
    token_period: 0,
    token_num_uses: 0,
    // A mount may be tuned to batch tokens, which can't be revoked.
    token_type: 'service',
  };
}

/** Whether a role as Vault has it lets in to this agent's policy. */
export const isKubernetesRoleOf = (
  agentId: string,
  { token_policies: is }: Readonly<Record<string, unknown>>,
) => Array.isArray(is) && is.includes(policyName(agentId));
