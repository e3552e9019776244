/** Operations on a secret as a whole: describe, tags, deletion, policy. */
import { invalidParameter, SecretsManagerError } from './errors.ts';
import type { Request } from './requests.ts';
import { type Secret, versionIdsToStages } from './secrets.ts';

const named = (secret: Secret) => ({ ARN: secret.arn, Name: secret.name });
const DAY = 24 * 3_600_000;

/** What DescribeSecret and ListSecrets have in common. */
function summary(secret: Secret) {
  const { rotation } = secret;
  return {
    ...named(secret),
    ...(secret.description !== undefined && { Description: secret.description }),
    ...(secret.kmsKeyId !== undefined && { KmsKeyId: secret.kmsKeyId }),
    ...(rotation && { RotationEnabled: rotation.enabled, RotationLambdaARN: rotation.lambdaArn }),
    ...(rotation && Object.keys(rotation.rules).length > 0 && { RotationRules: rotation.rules }),
    ...(rotation?.last && { LastRotatedDate: rotation.last }),
    ...(rotation?.next && { NextRotationDate: rotation.next.closes }),
    CreatedDate: secret.created,
    LastChangedDate: secret.lastChanged,
    ...(secret.lastAccessed && { LastAccessedDate: startOfDay(secret.lastAccessed) }),
    ...(secret.deleted && { DeletedDate: secret.deleted.at }),
    Tags: [...secret.tags].map(([Key, Value]) => ({ Key, Value })),
  };
}

/** AWS tells the day of the last access, not its time. */
const startOfDay = (date: Date) => new Date(Math.floor(date.getTime() / DAY) * DAY);

export function describeSecret(secret: Secret) {
  const VersionIdsToStages = versionIdsToStages(secret);
  return { ...summary(secret), ...(VersionIdsToStages && { VersionIdsToStages }) };
}

export function listEntry(secret: Secret) {
  const SecretVersionsToStages = versionIdsToStages(secret);
  return { ...summary(secret), ...(SecretVersionsToStages && { SecretVersionsToStages }) };
}

const MOST_TAGS = 50;

/** The tags with others added; refused as a whole where one isn't allowed. */
export function tagged(
  present: ReadonlyMap<string, string>,
  tags: readonly { Key: string; Value?: string | undefined }[],
): Map<string, string> {
  const result = new Map(present);
  for (const { Key, Value } of tags) {
    if (Key.startsWith('aws:')) throw invalidParameter('Tag keys must not begin with aws:.');
    result.set(Key, Value ?? '');
  }
  if (result.size > MOST_TAGS) {
    throw invalidParameter(`A secret can have at most ${MOST_TAGS} tags.`);
  }
  return result;
}

export function untag(secret: Secret, keys: readonly string[]) {
  for (const key of keys) secret.tags.delete(key);
}

/** Marks a secret for deletion; it is gone when the recovery window ends. Without recovery it is due at once. */
export function deleteSecret(
  secret: Secret,
  {
    RecoveryWindowInDays: days,
    ForceDeleteWithoutRecovery: force,
  }: Omit<Request<'DeleteSecret'>, 'SecretId'>,
  now: Date,
) {
  if (force && days !== undefined) {
    throw invalidParameter(
      "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
    );
  }
  if (days !== undefined && (days < 7 || days > 30)) {
    throw invalidParameter('The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).');
  }
  const final = new Date(now.getTime() + (force ? 0 : (days ?? 30) * DAY));
  secret.deleted = { at: now, final };
  return { ...named(secret), DeletionDate: final };
}

export function restoreSecret(secret: Secret) {
  secret.deleted = undefined;
  return named(secret);
}

export function putResourcePolicy(secret: Secret, policy: string) {
  if (!isPolicy(policy)) {
    throw new SecretsManagerError(
      'MalformedPolicyDocumentException',
      'This resource policy contains invalid Json.',
    );
  }
  secret.policy = policy;
  return named(secret);
}

export const getResourcePolicy = (secret: Secret) => ({
  ...named(secret),
  ...(secret.policy !== undefined && { ResourcePolicy: secret.policy }),
});

export function deleteResourcePolicy(secret: Secret) {
  secret.policy = undefined;
  return named(secret);
}

/** Says only whether the text is JSON with statements: who is granted what is IAM's to judge. */
export function validateResourcePolicy(policy: string) {
  return isPolicy(policy)
    ? { PolicyValidationPassed: true, ValidationErrors: [] }
    : {
        PolicyValidationPassed: false,
        ValidationErrors: [
          { CheckName: 'SYNTAX', ErrorMessage: 'This resource policy contains invalid Json.' },
        ],
      };
}

function isPolicy(text: string): boolean {
  try {
    const policy: unknown = JSON.parse(text);
    return typeof policy === 'object' && policy !== null && 'Statement' in policy;
  } catch {
    return false;
  }
}
