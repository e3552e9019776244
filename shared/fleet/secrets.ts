import {
  DescribeSecretCommand,
  type Filter,
  paginateListSecrets,
  type SecretListEntry,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import type { Stages } from '../labels/stages.ts';
import { isManaged, type Tags } from '../labels/tags.ts';
import { called } from '../secrets-manager/errors.ts';

/** One of the platform's secrets, as Secrets Manager lists it and describes it: nothing of its value. */
export interface FleetSecret {
  readonly arn: string;
  readonly name: string;
  readonly agentId: string;
  readonly tags: Tags;
  readonly stages: Stages;
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
  /** It can be restored until its recovery window is over. */
  readonly isScheduledForDeletion: boolean;
}

/** Which of the platform's secrets. */
export interface Of {
  /** Those of these agents. */
  readonly agents?: readonly string[];
  /** Those that have this tag. */
  readonly tagged?: string;
  /** Those, too, that are scheduled for deletion. */
  readonly withDeleted?: true;
}

/** As many values as ListSecrets takes for a filter. */
const filterValuesMax = 10;

/**
 * The platform's secrets by name, a hundred a call. The list may be minutes old: what it suggests is asked of DescribeSecret
 * before anything is done about it.
 */
export async function listFleet(client: SecretsManagerClient, of: Of = {}): Promise<readonly FleetSecret[]> {
  const pages = paginateListSecrets(
    { client, pageSize: 100 },
    { Filters: filtersFor(of), ...(of.withDeleted && { IncludePlannedDeletion: true }) },
  );
  return called('ListSecrets', async () => {
    const fleet: FleetSecret[] = [];
    for await (const { SecretList = [] } of pages) {
      for (const entry of SecretList) {
        const secret = fleetSecret(entry, entry.SecretVersionsToStages);
        if (isOf(of, secret)) fleet.push(secret);
      }
    }
    return fleet.sort((one, other) => (one.name < other.name ? -1 : 1));
  });
}

function filtersFor({ agents = [], tagged }: Of): Filter[] {
  if (tagged !== undefined) return [{ Key: 'tag-key', Values: [tagged] }];
  const isFew = agents.length > 0 && agents.length <= filterValuesMax;
  return [
    { Key: 'tag-key', Values: ['managed_by'] },
    { Key: 'tag-value', Values: isFew ? [...agents] : ['agent-platform'] },
  ];
}

/** The filters match prefixes, of any tag. */
const isOf = ({ agents = [], tagged }: Of, { tags, agentId }: FleetSecret): boolean =>
  isManaged(tags) &&
  (agents.length === 0 || agents.includes(agentId)) &&
  (tagged === undefined || tags[tagged] !== undefined);

/** A secret as it is now. Undefined where it isn't the platform's, or is being deleted. */
export async function describeFleetSecret(
  client: SecretsManagerClient,
  secretId: string,
): Promise<FleetSecret | undefined> {
  const answer = await called('DescribeSecret', () =>
    client.send(new DescribeSecretCommand({ SecretId: secretId })),
  );
  const secret = fleetSecret(answer, answer.VersionIdsToStages);
  return isManaged(secret.tags) && !secret.isScheduledForDeletion ? secret : undefined;
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
    | 'DeletedDate'
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
    isScheduledForDeletion: entry.DeletedDate !== undefined,
  };
}
