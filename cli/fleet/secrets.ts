import {
  type Filter,
  paginateListSecrets,
  type SecretListEntry,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { isManaged, type Tags } from '../../shared/labels/tags.ts';

/** What ListSecrets says of one of the platform's secrets. */
export interface FleetSecret {
  readonly arn: string;
  readonly name: string;
  readonly agentId: string;
  readonly tags: Tags;
  readonly currentVersionId?: string;
  /** Of a rotation that is under way, or was given up. */
  readonly pendingVersionId?: string;
  readonly rotationEnabled: boolean;
  readonly createdAt?: Date;
  readonly rotatedAt?: Date;
  /** Secrets Manager rotates by then. */
  readonly nextRotationAt?: Date;
}

/** As many values as ListSecrets takes for a filter. */
const filterValuesMax = 10;

/** The platform's secrets, by name: one call for a hundred. `agents`: theirs only. */
export async function fleetSecrets(
  client: SecretsManagerClient,
  agents: readonly string[] = [],
): Promise<readonly FleetSecret[]> {
  const ofAgents = agents.length > 0 && agents.length <= filterValuesMax;
  const Filters: Filter[] = [
    { Key: 'tag-key', Values: ['managed_by'] },
    { Key: 'tag-value', Values: ofAgents ? [...agents] : ['agent-platform'] },
  ];
  const wanted = new Set(agents);
  const found: FleetSecret[] = [];
  for await (const { SecretList = [] } of paginateListSecrets({ client, pageSize: 100 }, { Filters })) {
    for (const entry of SecretList) {
      const secret = secretOf(entry);
      // Filters compare beginnings, of any tag.
      if (isManaged(secret.tags) && (wanted.size === 0 || wanted.has(secret.agentId))) found.push(secret);
    }
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
}

function secretOf(entry: SecretListEntry): FleetSecret {
  const tags: Tags = Object.fromEntries((entry.Tags ?? []).map(({ Key, Value }) => [Key ?? '', Value ?? '']));
  const versions = Object.entries(entry.SecretVersionsToStages ?? {});
  const holding = (label: string) => versions.find(([, labels]) => labels.includes(label))?.[0];
  const [current, pending] = [holding('AWSCURRENT'), holding('AWSPENDING')];
  return {
    arn: entry.ARN ?? '',
    name: entry.Name ?? '',
    agentId: tags.agent_id ?? '',
    tags,
    rotationEnabled: entry.RotationEnabled === true,
    ...(current !== undefined && { currentVersionId: current }),
    ...(pending !== undefined && pending !== current && { pendingVersionId: pending }),
    ...(entry.CreatedDate && { createdAt: entry.CreatedDate }),
    ...(entry.LastRotatedDate && { rotatedAt: entry.LastRotatedDate }),
    ...(entry.NextRotationDate && { nextRotationAt: entry.NextRotationDate }),
  };
}
