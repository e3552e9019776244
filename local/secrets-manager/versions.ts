/** Operations on the values and labels of a secret that exists: get, put, update, move a label. */
import { exists, invalidParameter, invalidRequest, notFound, valueNotFound } from './errors.ts';
import {
  attach,
  CURRENT,
  carrierOf,
  detach,
  type LabelMove,
  type Labels,
  moveLabel,
  PENDING,
} from './labels.ts';
import type { Request } from './requests.ts';
import { prune, requestedValue, type Secret, sameValue, type Value, versionsOf } from './secrets.ts';

/** The state's surroundings: the time, and a fresh id for a version whose caller gave none. */
export type Surroundings = { readonly now: () => Date; readonly randomId: () => string };

/** What a change did, told to whoever watches labels. */
export type Change<Result> = { readonly result: Result; readonly moves: readonly LabelMove[] };

/** Reads one version's value: by label (AWSCURRENT where none is named), by id, or by both if they agree. */
export function getSecretValue(
  secret: Secret,
  { VersionId, VersionStage }: Pick<Request<'GetSecretValue'>, 'VersionId' | 'VersionStage'>,
  { now }: Surroundings,
) {
  const id = VersionId ?? carrierOf(secret.labels, VersionStage ?? CURRENT);
  const version = id === undefined ? undefined : secret.versions.get(id);
  const named =
    VersionId === undefined ? `staging label: ${VersionStage ?? CURRENT}` : `VersionId: ${VersionId}`;
  if (!version) throw valueNotFound(named);
  const labels = secret.labels.get(version.id) ?? [];
  if (VersionId !== undefined && VersionStage !== undefined && !labels.includes(VersionStage)) {
    throw invalidRequest('You provided a VersionStage that is not associated to the provided VersionId.');
  }
  if (!version.value) throw valueNotFound(named);
  version.lastAccessed = now();
  secret.lastAccessed = now();
  return {
    ARN: secret.arn,
    Name: secret.name,
    VersionId: version.id,
    ...version.value,
    VersionStages: labels,
    CreatedDate: version.created,
  };
}

/**
 * Stores a value as a version. Sent again with the same token and value it does nothing, so a client may retry; with
 * the same token and another value it is refused, because a version never changes. A version that a rotation has made
 * and that is still empty takes its value here.
 */
export function storeValue(
  secret: Secret,
  { token, value, stages }: { token: string | undefined; value: Value; stages: readonly string[] },
  { now, randomId }: Surroundings,
): Change<string> {
  const id = token ?? randomId();
  const known = secret.versions.get(id);
  if (known?.value) {
    if (sameValue(known.value, value)) return { result: id, moves: [] };
    throw exists(
      `A resource with the ID you requested already exists: you can't change the value of version ${id}.`,
    );
  }
  const first = [...secret.versions.values()].every((version) => version.value === undefined);
  const added = first && !stages.includes(CURRENT) ? [...stages, CURRENT] : stages;
  const { labels, moves } = attach(secret.labels, id, added);
  if (known) known.value = value;
  else secret.versions.set(id, { id, created: now(), value, lastAccessed: undefined });
  secret.labels = moves.some(({ label }) => label === CURRENT) ? abandoned(secret, labels, id) : labels;
  secret.lastChanged = now();
  prune(secret, now());
  return { result: id, moves };
}

/** A new AWSCURRENT written past a rotation abandons it: AWS takes AWSPENDING off the rotation's version. */
function abandoned(secret: Secret, labels: Labels, written: string): Labels {
  const pending = carrierOf(labels, PENDING);
  if (!secret.rotation || pending === undefined || pending === written) return labels;
  return detach(labels, pending, PENDING);
}

/** PutSecretValue: without stages the new version becomes AWSCURRENT at once. */
export function putSecretValue(
  secret: Secret,
  request: Omit<Request<'PutSecretValue'>, 'SecretId'>,
  surroundings: Surroundings,
) {
  const value = requestedValue(request);
  if (!value) {
    throw invalidRequest('You must provide either SecretString or SecretBinary.');
  }
  const { result: VersionId, moves } = storeValue(
    secret,
    { token: request.ClientRequestToken, value, stages: request.VersionStages ?? [CURRENT] },
    surroundings,
  );
  const VersionStages = secret.labels.get(VersionId) ?? [];
  return { result: { ARN: secret.arn, Name: secret.name, VersionId, VersionStages }, moves };
}

/** UpdateSecret: metadata, and a new AWSCURRENT where a value is given. */
export function updateSecret(
  secret: Secret,
  request: Omit<Request<'UpdateSecret'>, 'SecretId'>,
  surroundings: Surroundings,
) {
  const value = requestedValue(request);
  const stored =
    value &&
    storeValue(secret, { token: request.ClientRequestToken, value, stages: [CURRENT] }, surroundings);
  if (request.Description !== undefined) secret.description = request.Description;
  if (request.KmsKeyId !== undefined) secret.kmsKeyId = request.KmsKeyId;
  secret.lastChanged = surroundings.now();
  return {
    result: { ARN: secret.arn, Name: secret.name, ...(stored && { VersionId: stored.result }) },
    moves: stored?.moves ?? [],
  };
}

export function updateSecretVersionStage(
  secret: Secret,
  request: Omit<Request<'UpdateSecretVersionStage'>, 'SecretId'>,
  { now }: Surroundings,
) {
  const { VersionStage: label, MoveToVersionId: to, RemoveFromVersionId: from } = request;
  const target = to === undefined ? undefined : secret.versions.get(to);
  if (to !== undefined && !target) throw notFound();
  if (label === CURRENT && target && !target.value) {
    throw invalidParameter(`You can't move ${CURRENT} to version ${to}, which has no value.`);
  }
  const { labels, moves } = moveLabel(secret.labels, { label, to, from });
  secret.labels = labels;
  secret.lastChanged = now();
  prune(secret, now());
  return { result: { ARN: secret.arn, Name: secret.name }, moves };
}

export function listSecretVersionIds(
  secret: Secret,
  { IncludeDeprecated = false }: Pick<Request<'ListSecretVersionIds'>, 'IncludeDeprecated'>,
) {
  return versionsOf(secret)
    .filter(({ labels }) => IncludeDeprecated || labels.length > 0)
    .map(({ version, labels }) => ({
      VersionId: version.id,
      ...(labels.length > 0 && { VersionStages: labels }),
      ...(version.lastAccessed && { LastAccessedDate: version.lastAccessed }),
      CreatedDate: version.created,
      KmsKeyIds: [secret.kmsKeyId ?? 'DefaultEncryptionKey'],
    }));
}
