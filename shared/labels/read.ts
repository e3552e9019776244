import {
  DescribeSecretCommand,
  paginateListSecretVersionIds,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import type { LabelFacts } from './change.ts';
import type { Tags } from './tags.ts';

export interface DescribedSecret {
  readonly arn: string;
  readonly name: string;
  readonly tags: Tags;
  readonly stages: LabelFacts['stages'];
  readonly lastRotatedAt: Date | undefined;
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
    rotationEnabled: secret.RotationEnabled === true,
  };
}

/** When each version was made, those without a label included. */
export async function versionDates(
  client: SecretsManagerClient,
  secretArn: string,
): Promise<LabelFacts['createdAt']> {
  const dates: Record<string, Date> = {};
  const pages = paginateListSecretVersionIds(
    { client, pageSize: 100 },
    { SecretId: secretArn, IncludeDeprecated: true },
  );
  for await (const { Versions = [] } of pages) {
    for (const { VersionId, CreatedDate } of Versions) {
      if (VersionId && CreatedDate) dates[VersionId] = CreatedDate;
    }
  }
  return dates;
}
