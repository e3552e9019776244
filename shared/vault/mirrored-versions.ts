import {
  GetSecretValueCommand,
  paginateListSecretVersionIds,
  ResourceNotFoundException,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { newestVersionIds } from '../labels/read.ts';
import { parsedJson } from '../parsed-json.ts';
import { called } from '../secrets-manager/errors.ts';
import { isSameJson } from './digest.ts';
import { MirrorValueError } from './mirror-errors.ts';

/** A version whose value is mirrored as it is: JSON, credentials or not. */
export interface MirroredVersion {
  readonly versionId: string;
  readonly createdAt: Date;
  readonly value: Record<string, unknown>;
}

/** Undefined where there is none, or it has no value yet. AWSCURRENT there always is. */
export async function versionOf(
  secretId: string,
  which: { readonly VersionStage: 'AWSCURRENT' | 'AWSPREVIOUS' } | { readonly VersionId: string },
  client: SecretsManagerClient,
): Promise<MirroredVersion | undefined> {
  const isCurrent = 'VersionStage' in which && which.VersionStage === 'AWSCURRENT';
  // Of an answer that is no JSON, the SDK's error quotes what stood there: the value.
  const answer = await called('GetSecretValue', async () => {
    try {
      return await client.send(new GetSecretValueCommand({ SecretId: secretId, ...which }));
    } catch (error) {
      if (!isCurrent && error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  });
  if (!answer?.VersionId || !answer.CreatedDate) return undefined;
  const { VersionId, CreatedDate, SecretString } = answer;
  return { versionId: VersionId, createdAt: CreatedDate, value: objectOf(SecretString) };
}

/** None for a version that has lost them all; undefined for one that isn't known. */
export async function labelsOf(
  versionId: string,
  secretId: string,
  client: SecretsManagerClient,
): Promise<readonly string[] | undefined> {
  return called('ListSecretVersionIds', async () => {
    const pages = paginateListSecretVersionIds({ client }, { SecretId: secretId, IncludeDeprecated: true });
    for await (const { Versions = [] } of pages) {
      const found = Versions.find((version) => version.VersionId === versionId);
      if (found) return found.VersionStages ?? [];
    }
    return undefined;
  });
}

function objectOf(text: string | undefined): Record<string, unknown> {
  const value = parsedJson(text ?? '');
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw new MirrorValueError('The secret is not a JSON object');
}

/** How many versions may have come and gone since one whose value was left without its stamp. */
const laterVersions = 10;

/**
 * Whether it is the value of a version that was made after the stamped one, and before AWSCURRENT's or has left that label. One that
 * is later than AWSCURRENT and not seen to have left it may be in force, and the read late.
 */
export async function isOfVersion(
  data: Readonly<Record<string, unknown>>,
  { after, before }: { readonly after: Date; readonly before: Date },
  secretId: string,
  client: SecretsManagerClient,
): Promise<boolean> {
  const previous = await jsonVersionOf(secretId, { VersionStage: 'AWSPREVIOUS' }, client);
  if (previous && previous.createdAt > after && isSameJson(previous.value, data)) return true;
  for (const VersionId of await newestVersionIds(client, secretId, laterVersions)) {
    const version = await jsonVersionOf(secretId, { VersionId }, client);
    if (version && version.createdAt <= after) return false;
    if (version && version.createdAt < before && isSameJson(version.value, data)) return true;
  }
  return false;
}

/** As `versionOf`; undefined as well where the value is no JSON object, which no mirror was ever given. */
async function jsonVersionOf(...version: Parameters<typeof versionOf>): ReturnType<typeof versionOf> {
  try {
    return await versionOf(...version);
  } catch (error) {
    if (error instanceof MirrorValueError) return undefined;
    throw error;
  }
}
