import { type Declaration, DeclarationError } from './declaration.ts';

/** What belongs to one agent alone, each named so that two agents with the same one are told. */
function holdingsOf({ agentId, postgres, vault, kubernetes }: Declaration): string[] {
  return [
    `agent id ${agentId}`,
    ...(postgres ? [`PostgreSQL role ${agentId} on ${postgres.host}:${postgres.port}`] : []),
    ...vault.databaseRoles.map((role) => `Vault database role ${role}`),
    ...vault.kvPaths.map((path) => `Vault path ${path}`),
    ...(kubernetes
      ? [`Kubernetes service account ${kubernetes.namespace}/${kubernetes.serviceAccount}`]
      : []),
  ];
}

/**
 * Throws `DeclarationError` where two agents share anything, before a thing is written. A path inside another agent's
 * path, or inside its `agents/{agentId}`, is shared too, and so is that of an agent which nobody has declared: its secret may
 * have been made by other means.
 *
 * @example
 * refuseSharing([readDeclaration({ agentId: 'billing' }), readDeclaration({ agentId: 'search' })]);
 */
export function refuseSharing(fleet: readonly Declaration[]): void {
  const owners = new Map<string, string>();
  const problems: string[] = [];
  for (const agent of fleet) {
    for (const holding of holdingsOf(agent)) {
      const owner = owners.get(holding);
      if (owner !== undefined) problems.push(`${owner} and ${agent.agentId} share ${holding}`);
      owners.set(holding, agent.agentId);
    }
    for (const path of agent.vault.kvPaths) {
      const other = fleet.find(
        (each) => each !== agent && pathsOf(each).some((held) => isInside(path, held)),
      );
      if (other) problems.push(`${agent.agentId} reads Vault path ${path} of ${other.agentId}`);
      else if (path === 'agents') {
        problems.push(`${agent.agentId}: Vault path ${path} holds more than its own`);
      } else if (isInside(path, 'agents') && !isInside(path, `agents/${agent.agentId}`)) {
        problems.push(`${agent.agentId} reads Vault path ${path} of another agent`);
      }
    }
  }
  if (problems.length > 0) throw new DeclarationError([...new Set(problems)].join('; '));
}

const pathsOf = ({ agentId, vault }: Declaration) => [`agents/${agentId}`, ...vault.kvPaths];

const isInside = (path: string, held: string) => path === held || path.startsWith(`${held}/`);
