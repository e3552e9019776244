import {
  DescribeSecretCommand,
  paginateListSecrets,
  type SecretListEntry,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import type { LabelFacts } from '../labels/change.ts';
import { isManaged, type Tags } from '../labels/tags.ts';
import { called } from '../secrets-manager/errors.ts';

/** One of the platform's secrets, as Secrets Manager lists it and describes it: nothing of its value. */
export interface FleetSecret {
  readonly arn: string;
  readonly name: string;
  readonly agentId: string;
  readonly tags: Tags;
  readonly stages: LabelFacts['stages'];
  readonly rotationEnabled: boolean;
  readonly createdAt: Date | undefined;
  readonly lastRotatedAt: Date | undefined;
  readonly lastChangedAt?: Date | undefined;
  /** The latest instant at which the schedule rotates it. In the past: it didn't. */
  readonly nextRotationAt: Date | undefined;
  readonly everyDays: number | undefined;
  /** `rate(...)` or `cron(...)`. */
  readonly schedule: string | undefined;
  /** How long its window is open: `3h`. */
  readonly duration: string | undefined;
}

/**
 * All of the platform's secrets, a hundred a call. The list may be minutes old: what it suggests is asked of DescribeSecret
 * before anything is done about it.
 */
export async function listFleet(client: SecretsManagerClient): Promise<readonly FleetSecret[]> {
  const pages = paginateListSecrets(
    { client, pageSize: 100 },
    {
      Filters: [
        { Key: 'tag-key', Values: ['managed_by'] },
        { Key: 'tag-value', Values: ['agent-platform'] },
      ],
    },
  );
  return called('ListSecrets', async () => {
    const fleet: FleetSecret[] = [];
    for await (const { SecretList = [] } of pages) {
      for (const entry of SecretList) {
        const secret = fleetSecret(entry, entry.SecretVersionsToStages);
        // The filters match prefixes, of any tag.
        if (isManaged(secret.tags)) fleet.push(secret);
      }
    }
    return fleet;
  });
}

/** A secret as it is now. Undefined where it isn't the platform's, or is being deleted. */
export async function describeFleetSecret(
  client: SecretsManagerClient,
  secretId: string,
): Promise<FleetSecret | undefined> {
  const answer = await called('DescribeSecret', () =>
    client.send(new DescribeSecretCommand({ SecretId: secretId })),
  );
  const secret = fleetSecret(answer, answer.VersionIdsToStages);
  return isManaged(secret.tags) && !answer.DeletedDate ? secret : undefined;
}

export function versionWith(label: string, { stages }: Pick<FleetSecret, 'stages'>): string | undefined {
  return Object.keys(stages).find((versionId) => stages[versionId]?.includes(label));
}

function fleetSecret(
  entry: Pick<
    SecretListEntry,
    | 'ARN'
    | 'Name'
    | 'Tags'
    | 'RotationEnabled'
    | 'CreatedDate'
    | 'LastRotatedDate'
    | 'LastChangedDate'
    | 'NextRotationDate'
    | 'RotationRules'
  >,
  stages: Record<string, string[]> | undefined,
): FleetSecret {
  const tags = Object.fromEntries((entry.Tags ?? []).map(({ Key, Value }) => [Key ?? '', Value ?? '']));
  return {
    arn: entry.ARN ?? '',
    name: entry.Name ?? '',
    agentId: tags.agent_id || 'unknown',
    tags,
    stages: stages ?? {},
    rotationEnabled: entry.RotationEnabled === true,
    createdAt: entry.CreatedDate,
    lastRotatedAt: entry.LastRotatedDate,
    lastChangedAt: entry.LastChangedDate,
    nextRotationAt: entry.NextRotationDate,
    everyDays: entry.RotationRules?.AutomaticallyAfterDays,
    schedule: entry.RotationRules?.ScheduleExpression,
    duration: entry.RotationRules?.Duration,
  };
}
