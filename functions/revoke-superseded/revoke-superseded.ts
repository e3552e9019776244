import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pMap from 'p-map';
import { parsed } from '../../events/contract.ts';
import { credentialRevoked } from '../../events/credential-revoked/event.ts';
import { graceEnded } from '../../events/grace-ended/event.ts';
import type { IsAdminSecret } from '../../shared/credential/admin-secrets.ts';
import { adminArnOf, type CredentialEntry, credentialsIn } from '../../shared/credential/credentials-in.ts';
import { InvalidSecretError } from '../../shared/credential/errors.ts';
import type { SecretJson } from '../../shared/credential/secret-json.ts';
import type { RevocationOutcome } from '../../shared/grace/revocation-outcome.ts';
import { describeSecret, listVersions } from '../../shared/labels/read.ts';
import { agentIdOf, graceMsOf, isManaged } from '../../shared/labels/tags.ts';
import type { EventBus } from '../../shared/notification/event-bus.ts';
import type { Count } from '../../shared/observability/metrics.ts';
import { isAbandoned } from '../../shared/rotation/abandoned.ts';
import { NoCurrentVersionError } from '../../shared/rotation/errors.ts';
import { rotatorOf } from '../../shared/rotators/registry.ts';
import type { Revocation } from '../../shared/rotators/rotator.ts';
import { called } from '../../shared/secrets-manager/errors.ts';
import { readVersion } from '../../shared/secrets-manager/versions.ts';
import { verdictOf } from './superseded.ts';

/** Asked before the grace period is over. Failing makes the delivery come again. */
export class InGraceError extends Error {
  override readonly name = 'InGraceError';
  constructor() {
    super('The grace period of the superseded version is not over yet');
  }
}

export interface RevokeSupersededDependencies {
  readonly secretsManager: SecretsManagerClient;
  /** Asked before the secret that `masterarn` names is read. */
  readonly isAdminSecret: IsAdminSecret;
  readonly bus: EventBus;
  readonly log: { info(message: string, fields: Record<string, string>): void };
  readonly count: Count;
  /** Secrets Manager's time: versions are dated by it. */
  readonly now: () => Date;
  /** Milliseconds. */
  readonly pause: (ms: number) => Promise<unknown>;
}

/**
 * Makes the target refuse what a rotation superseded. The call is a hint: what is revoked is judged from the labels, and from
 * the version that the target itself says its login holds. A repeat revokes what is revoked, and says so once more. Several
 * credentials are tried at once, and the first failure is thrown when all were: it is told of when all are revoked.
 */
export async function revokeSuperseded(
  input: unknown,
  dependencies: RevokeSupersededDependencies,
): Promise<RevocationOutcome> {
  const { secretsManager, bus, log, count, now } = dependencies;
  const request = parsed('The end of a grace period', graceEnded, input);
  const { secretArn, supersededVersionId, currentVersionId, rotationId, graceEndsAt } = request;
  const listed = await called('ListSecretVersionIds', () => listVersions(secretsManager, secretArn));
  const secret = await called('DescribeSecret', () => describeSecret(secretsManager, secretArn));
  const { stages, lastRotatedAt, lastChangedAt, tags } = secret;
  const ignored = (reason: RevocationOutcome) => {
    log.info('Nothing revoked', { reason, secretArn, supersededVersionId });
    return reason;
  };
  if (!isManaged(tags)) return ignored('not managed');
  const verdict = verdictOf(
    request,
    { stages, lastRotatedAt, lastChangedAt, ...listed },
    graceMsOf(tags),
    now(),
  );
  if (verdict.kind === 'in grace') throw new InGraceError();
  if (verdict.kind === 'not superseded') return ignored('not superseded');

  const superseded = await readVersion(secretsManager, secretArn, { versionId: supersededVersionId });
  if (!superseded) return ignored('pruned');
  const { supersededVersionIds, currentCreatedAt, keptVersionIds } = verdict;
  // All credentials of a version wait once.
  const abandoned = new Map<string, Promise<boolean>>();
  const versions: Versions = {
    secretArn: secret.arn,
    kept: await valuesOf(dependencies, secretArn, keptVersionIds),
    supersededVersionIds,
    currentCreatedAt,
    isAbandoned: (versionId) => {
      const known = abandoned.get(versionId) ?? isAbandoned(versionId, secretArn, dependencies);
      abandoned.set(versionId, known);
      return known;
    },
    earlier: () => readableOf(dependencies, secretArn, [...supersededVersionIds]),
  };
  // A server that is away, or hangs until this function's time is over, keeps no login of another one valid.
  const outcomes = await Promise.allSettled(
    credentialsIn(superseded.value).map((entry) => revoke(entry, versions, dependencies)),
  );
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
  if (!outcomes.some((outcome) => outcome.status === 'fulfilled' && outcome.value === 'revoked')) {
    return ignored('in use');
  }
  await bus.publish([
    credentialRevoked.of({
      schemaVersion: 1,
      secret: secret.name,
      secretArn: secret.arn,
      agentId: agentIdOf(tags),
      rotationId,
      revokedVersionId: supersededVersionId,
      currentVersionId,
      graceEndsAt,
      revokedAt: now().toISOString(),
    }),
  ]);
  count('Revocations');
  log.info('Revoked', { secretArn, supersededVersionId, currentVersionId });
  return 'revoked';
}

/** What is known of the secret's versions; `kept` and `earlier` are whole values. */
type Versions = Omit<Revocation, 'superseded' | 'admin'>;

async function revoke(
  entry: CredentialEntry,
  { kept, earlier, ...facts }: Versions,
  { secretsManager, isAdminSecret }: RevokeSupersededDependencies,
): Promise<'revoked' | 'in use'> {
  const { field, engine, credential } = entry;
  const here = (values: readonly SecretJson[]) =>
    values.flatMap((value) => (field === undefined ? value : (value.nested(field) ?? [])));
  const adminArn = adminArnOf(entry, isAdminSecret);
  // A login that can't have a twin was given a new password in its place, so the superseded one is refused already.
  if (adminArn === undefined) return 'in use';
  const admin = await readVersion(secretsManager, adminArn, { stage: 'AWSCURRENT' });
  if (!admin) throw new NoCurrentVersionError('The admin secret (masterarn)');
  const rotator = rotatorOf(engine);
  return rotator.revoke({
    ...facts,
    superseded: credential,
    kept: here(kept),
    admin: admin.value,
    earlier: async () => here(await earlier()),
  });
}

/** A pending version may have no value yet: it keeps nothing then, and the target's own note guards what it gets next. */
async function valuesOf(
  { secretsManager }: RevokeSupersededDependencies,
  secretArn: string,
  versionIds: readonly string[],
): Promise<readonly SecretJson[]> {
  const versions = await Promise.all(
    versionIds.map((versionId) => readVersion(secretsManager, secretArn, { versionId })),
  );
  return versions.flatMap((version) => version?.value ?? []);
}

/** There may be a hundred. One that holds no JSON is of before the secret rotated. */
async function readableOf(
  dependencies: RevokeSupersededDependencies,
  secretArn: string,
  versionIds: readonly string[],
): Promise<readonly SecretJson[]> {
  const read = async (versionId: string) => {
    try {
      return await valuesOf(dependencies, secretArn, [versionId]);
    } catch (error) {
      if (error instanceof InvalidSecretError) return [];
      throw error;
    }
  };
  return (await pMap(versionIds, read, { concurrency: 10 })).flat();
}
