import {
  DescribeSecretCommand,
  paginateListSecretVersionIds,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { called } from '../secrets-manager/errors.ts';
import type { LabelFacts } from './change.ts';
import type { Stages } from './stages.ts';
import type { Tags } from './tags.ts';

export interface DescribedSecret {
  readonly arn: string;
  readonly name: string;
  readonly tags: Tags;
  readonly stages: Stages;
  readonly lastRotatedAt: Date | undefined;
  readonly lastChangedAt: Date | undefined;
  readonly rotationEnabled: boolean;
}

/** A secret's name, tags and labels; no value is read here. */
export async function describeSecret(
  client: SecretsManagerClient,
  secretArn: string,
): Promise<DescribedSecret> {
  const secret = await client.send(new DescribeSecretCommand({ SecretId: secretArn }));
  return {
    arn: secret.ARN ?? secretArn,
    name: secret.Name ?? secretArn,
    tags: Object.fromEntries((secret.Tags ?? []).map(({ Key, Value }) => [Key ?? '', Value ?? ''])),
    stages: secret.VersionIdsToStages ?? {},
    lastRotatedAt: secret.LastRotatedDate,
    lastChangedAt: secret.LastChangedDate,
    rotationEnabled: secret.RotationEnabled === true,
  };
}

export interface ListedVersions {
  /** When each version was made, those without a label included. */
  readonly createdAt: LabelFacts['createdAt'];
  /** Those that the listing shows as AWSCURRENT or AWSPENDING. */
  readonly listedInUse: ReadonlySet<string>;
}

/** When each version was made, those without a label included. */
export async function versionDates(
  client: SecretsManagerClient,
  secretArn: string,
): Promise<LabelFacts['createdAt']> {
  return (await listVersions(client, secretArn)).createdAt;
}

/**
 * The ids of the newest versions, those without a label included, newest first. All pages are read: a secret that has rotated for
 * long fills more than one, and AWS promises no order.
 *
 * @throws SecretsManagerError
 */
export async function newestVersionIds(
  client: SecretsManagerClient,
  secretArn: string,
  count: number,
): Promise<readonly string[]> {
  const createdAt = await called('ListSecretVersionIds', () => versionDates(client, secretArn));
  return Object.entries(createdAt)
    .toSorted(([, one], [, other]) => other.getTime() - one.getTime())
    .slice(0, count)
    .map(([versionId]) => versionId);
}

export async function listVersions(client: SecretsManagerClient, secretArn: string): Promise<ListedVersions> {
  const createdAt: Record<string, Date> = {};
  const listedInUse = new Set<string>();
  const pages = paginateListSecretVersionIds(
    { client, pageSize: 100 },
    { SecretId: secretArn, IncludeDeprecated: true },
  );
  for await (const { Versions = [] } of pages) {
    for (const { VersionId, CreatedDate, VersionStages = [] } of Versions) {
      if (!VersionId || !CreatedDate) continue;
      createdAt[VersionId] = CreatedDate;
      if (VersionStages.some((stage) => stage === 'AWSCURRENT' || stage === 'AWSPENDING')) {
        listedInUse.add(VersionId);
      }
    }
  }
  return { createdAt, listedInUse };
}
