import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { describeFleetSecret, type FleetSecret } from '../fleet/secrets.ts';
import { graceEnd } from '../grace/grace.ts';
import { changeOf, inForceSince } from '../labels/change.ts';
import { versionDates } from '../labels/read.ts';
import { versionWith } from '../labels/stages.ts';
import { called } from '../secrets-manager/errors.ts';

export interface RotatedVersions {
  readonly secret: FleetSecret;
  readonly supersededVersionId: string;
  readonly currentVersionId: string;
  /** Counted as revoke-superseded counts it. */
  readonly graceEndsAt: Date;
}

/** What a secret's latest rotation made and superseded. Undefined where a change by hand, or nothing, came last. */
export async function rotatedVersions(
  client: SecretsManagerClient,
  secretArn: string,
): Promise<RotatedVersions | undefined> {
  // Dates first: a label that moves in between is on a version without a date, and tells nothing yet.
  const createdAt = await called('ListSecretVersionIds', () => versionDates(client, secretArn));
  const secret = await describeFleetSecret(client, secretArn);
  const currentVersionId = secret && versionWith('AWSCURRENT', secret);
  if (!secret || currentVersionId === undefined) return undefined;
  const { stages, lastRotatedAt, tags } = secret;
  const change = changeOf(currentVersionId, { stages, createdAt, lastRotatedAt });
  if (change.kind !== 'rotated' || change.supersededVersionId === undefined) return undefined;
  return {
    secret,
    supersededVersionId: change.supersededVersionId,
    currentVersionId,
    graceEndsAt: graceEnd(inForceSince(change.currentCreatedAt, secret), tags),
  };
}
