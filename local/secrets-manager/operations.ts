/** The operations by AWS's names, over the state of one account and region. */
import { exists, invalidParameter, invalidRequest, SecretsManagerError } from './errors.ts';
import type { LabelMove } from './labels.ts';
import { filtered, pageOf, sorted } from './listing.ts';
import * as metadata from './metadata.ts';
import { randomPassword } from './password.ts';
import type { Request } from './requests.ts';
import { cancelRotateSecret, rotateSecret } from './rotate.ts';
import type { Rotations } from './rotation.ts';
import { requestedValue, type Secret, type Secrets, sameValue } from './secrets.ts';
import * as versions from './versions.ts';

export type Operations = ReturnType<typeof createOperations>;

type State = versions.Surroundings & {
  readonly rotations: Rotations;
  readonly secrets: Secrets;
  readonly announce: (secret: Secret, moves: readonly LabelMove[]) => Promise<void>;
  readonly newArn: (name: string) => string | Promise<string>;
};

/** Each changes the state at once, without waiting, and answers when those who watch labels have been told. */
export function createOperations(state: State) {
  const { secrets, now } = state;
  const changed = async <Result>(secret: Secret, { result, moves }: versions.Change<Result>) => {
    await state.announce(secret, moves);
    return result;
  };
  let lastCreation: Promise<unknown> = Promise.resolve();
  /** An ARN may come from outside and take time: two requests for one name must not both find it free. */
  const inTurn = <Result>(create: () => Promise<Result>): Promise<Result> => {
    const created = lastCreation.then(create, create);
    lastCreation = created.catch(() => undefined);
    return created;
  };
  return {
    CreateSecret: (request: Request<'CreateSecret'>) => inTurn(() => createSecret(request, state)),
    DescribeSecret: async ({ SecretId }: Request<'DescribeSecret'>) =>
      metadata.describeSecret(secrets.find(SecretId)),
    GetSecretValue: async ({ SecretId, ...request }: Request<'GetSecretValue'>) =>
      versions.getSecretValue(secrets.findActive(SecretId), request, state),
    BatchGetSecretValue: async (request: Request<'BatchGetSecretValue'>) => batchGet(request, state),
    PutSecretValue: async ({ SecretId, ...request }: Request<'PutSecretValue'>) => {
      const secret = secrets.findActive(SecretId);
      return changed(secret, versions.putSecretValue(secret, request, state));
    },
    UpdateSecret: async ({ SecretId, ...request }: Request<'UpdateSecret'>) => {
      const secret = secrets.findActive(SecretId);
      return changed(secret, versions.updateSecret(secret, request, state));
    },
    UpdateSecretVersionStage: async ({ SecretId, ...request }: Request<'UpdateSecretVersionStage'>) => {
      const secret = secrets.findActive(SecretId);
      return changed(secret, versions.updateSecretVersionStage(secret, request, state));
    },
    RotateSecret: async ({ SecretId, ...request }: Request<'RotateSecret'>) => {
      const secret = secrets.findActive(SecretId);
      return changed(secret, rotateSecret(secret, request, state));
    },
    CancelRotateSecret: async ({ SecretId }: Request<'CancelRotateSecret'>) =>
      cancelRotateSecret(secrets.findActive(SecretId)),
    ListSecrets: async (request: Request<'ListSecrets'>) => {
      const visible = secrets.all().filter(({ deleted }) => !deleted || request.IncludePlannedDeletion);
      const found = sorted(filtered(visible, request.Filters), request.SortBy, request.SortOrder);
      const { items, ...next } = pageOf(found, request);
      return { SecretList: items.map(metadata.listEntry), ...next };
    },
    ListSecretVersionIds: async ({ SecretId, ...request }: Request<'ListSecretVersionIds'>) => {
      const secret = secrets.find(SecretId);
      const { items, ...next } = pageOf(versions.listSecretVersionIds(secret, request), request);
      return { ARN: secret.arn, Name: secret.name, Versions: items, ...next };
    },
    TagResource: async ({ SecretId, Tags }: Request<'TagResource'>) => {
      const secret = secrets.findActive(SecretId);
      secret.tags = metadata.tagged(secret.tags, Tags);
    },
    UntagResource: async ({ SecretId, TagKeys }: Request<'UntagResource'>) =>
      metadata.untag(secrets.findActive(SecretId), TagKeys),
    DeleteSecret: async ({ SecretId, ...request }: Request<'DeleteSecret'>) => {
      const secret = secrets.find(SecretId);
      if (secret.deleted && !request.ForceDeleteWithoutRecovery) secrets.findActive(SecretId);
      return metadata.deleteSecret(secret, request, now());
    },
    RestoreSecret: async ({ SecretId }: Request<'RestoreSecret'>) =>
      metadata.restoreSecret(secrets.find(SecretId)),
    GetRandomPassword: async (request: Request<'GetRandomPassword'>) => ({
      RandomPassword: randomPassword(request),
    }),
    PutResourcePolicy: async ({ SecretId, ResourcePolicy }: Request<'PutResourcePolicy'>) =>
      metadata.putResourcePolicy(secrets.findActive(SecretId), ResourcePolicy),
    GetResourcePolicy: async ({ SecretId }: Request<'GetResourcePolicy'>) =>
      metadata.getResourcePolicy(secrets.findActive(SecretId)),
    DeleteResourcePolicy: async ({ SecretId }: Request<'DeleteResourcePolicy'>) =>
      metadata.deleteResourcePolicy(secrets.findActive(SecretId)),
    ValidateResourcePolicy: async ({ SecretId, ResourcePolicy }: Request<'ValidateResourcePolicy'>) => {
      if (SecretId !== undefined) secrets.findActive(SecretId);
      return metadata.validateResourcePolicy(ResourcePolicy);
    },
  };
}

/** Sent again with the same token and value it answers as the first time. */
async function createSecret(request: Request<'CreateSecret'>, state: State) {
  const { Name, ClientRequestToken, Description, KmsKeyId, Tags } = request;
  const value = requestedValue(request);
  const answer = (secret: Secret, VersionId?: string) => ({
    ARN: secret.arn,
    Name,
    ...(VersionId !== undefined && { VersionId }),
  });
  const repeated = () => {
    const known = state.secrets.named(Name);
    if (!known) return undefined;
    if (known.deleted) {
      throw invalidRequest(
        "You can't create this secret because a secret with this name is already scheduled for deletion.",
      );
    }
    const version = ClientRequestToken === undefined ? undefined : known.versions.get(ClientRequestToken);
    if (version?.value && sameValue(version.value, value)) return answer(known, version.id);
    throw exists(`The operation failed because the secret ${Name} already exists.`);
  };
  const first = repeated();
  if (first) return first;
  const tags = metadata.tagged(new Map(), Tags ?? []);
  const secret = state.secrets.add(await state.newArn(Name), Name);
  secret.description = Description;
  secret.kmsKeyId = KmsKeyId;
  secret.tags = tags;
  if (!value) return answer(secret);
  const { result, moves } = versions.storeValue(
    secret,
    { token: ClientRequestToken, value, stages: ['AWSCURRENT'] },
    state,
  );
  await state.announce(secret, moves);
  return answer(secret, result);
}

/** AWSCURRENT of several secrets; what fails for one is told beside the others' values. */
function batchGet(request: Request<'BatchGetSecretValue'>, state: State) {
  const { SecretIdList, Filters } = request;
  if ((SecretIdList === undefined) === (Filters === undefined)) {
    throw invalidParameter('Either SecretIdList or Filters must be specified, but not both.');
  }
  const ids =
    SecretIdList ??
    filtered(state.secrets.all(), Filters)
      .filter(({ deleted }) => !deleted)
      .map(({ arn }) => arn);
  const { items, ...next } = pageOf(ids, { ...request, MaxResults: request.MaxResults ?? 20 });
  const SecretValues: ReturnType<typeof versions.getSecretValue>[] = [];
  const Errors: { SecretId: string; ErrorCode: string; Message: string }[] = [];
  for (const SecretId of items) {
    try {
      SecretValues.push(versions.getSecretValue(state.secrets.findActive(SecretId), {}, state));
    } catch (error) {
      if (!(error instanceof SecretsManagerError)) throw error;
      Errors.push({ SecretId, ErrorCode: error.code, Message: error.message });
    }
  }
  return { SecretValues, Errors, ...next };
}
