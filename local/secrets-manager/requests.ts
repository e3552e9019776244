/** What each operation takes, as AWS's service model says: types, lengths and patterns, unknown members refused. */
import { z } from 'zod';

const secretId = z.string().min(1).max(2048);
const name = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[\w/+=.@-]+$/);
const versionId = z.string().min(32).max(64);
const stage = z.string().min(1).max(256);
const description = z.string().max(2048);
const secretString = z.string();
const tags = z.array(
  z.strictObject({ Key: z.string().min(1).max(128), Value: z.string().max(256).optional() }),
);
const rotationRules = z.strictObject({
  AutomaticallyAfterDays: z.number().int().min(1).max(1000).optional(),
  Duration: z
    .string()
    .regex(/^\d{1,2}h$/)
    .optional(),
  ScheduleExpression: z.string().max(256).optional(),
});
const page = {
  MaxResults: z.number().int().min(1).max(100).optional(),
  NextToken: z.string().max(4096).optional(),
};
const filters = z
  .array(
    z.strictObject({
      Key: z.enum(['description', 'name', 'tag-key', 'tag-value', 'primary-region', 'owning-service', 'all']),
      Values: z.array(z.string().max(512)).min(1).max(10),
    }),
  )
  .max(10);
/** A blob is base64 in AWS JSON 1.1; the engine keeps it so. */
const secretBinary = z.base64();
const value = { SecretString: secretString.optional(), SecretBinary: secretBinary.optional() };

export const requests = {
  CreateSecret: z.strictObject({
    Name: name,
    ClientRequestToken: versionId.optional(),
    Description: description.optional(),
    KmsKeyId: z.string().max(2048).optional(),
    ...value,
    Tags: tags.optional(),
    AddReplicaRegions: z.array(z.never()).optional(),
    ForceOverwriteReplicaSecret: z.boolean().optional(),
  }),
  DescribeSecret: z.strictObject({ SecretId: secretId }),
  GetSecretValue: z.strictObject({
    SecretId: secretId,
    VersionId: versionId.optional(),
    VersionStage: stage.optional(),
  }),
  BatchGetSecretValue: z.strictObject({
    SecretIdList: z.array(secretId).min(1).max(20).optional(),
    Filters: filters.optional(),
    ...page,
  }),
  PutSecretValue: z.strictObject({
    SecretId: secretId,
    ClientRequestToken: versionId.optional(),
    ...value,
    VersionStages: z.array(stage).min(1).max(20).optional(),
    RotationToken: z.string().min(36).max(256).optional(),
  }),
  UpdateSecret: z.strictObject({
    SecretId: secretId,
    ClientRequestToken: versionId.optional(),
    Description: description.optional(),
    KmsKeyId: z.string().max(2048).optional(),
    ...value,
  }),
  UpdateSecretVersionStage: z.strictObject({
    SecretId: secretId,
    VersionStage: stage,
    RemoveFromVersionId: versionId.optional(),
    MoveToVersionId: versionId.optional(),
  }),
  RotateSecret: z.strictObject({
    SecretId: secretId,
    ClientRequestToken: versionId.optional(),
    RotationLambdaARN: z.string().max(2048).optional(),
    RotationRules: rotationRules.optional(),
    RotateImmediately: z.boolean().optional(),
  }),
  CancelRotateSecret: z.strictObject({ SecretId: secretId }),
  ListSecrets: z.strictObject({
    ...page,
    Filters: filters.optional(),
    IncludePlannedDeletion: z.boolean().optional(),
    SortOrder: z.enum(['asc', 'desc']).optional(),
    SortBy: z.enum(['created-date', 'last-accessed-date', 'last-changed-date', 'name']).optional(),
  }),
  ListSecretVersionIds: z.strictObject({
    SecretId: secretId,
    ...page,
    IncludeDeprecated: z.boolean().optional(),
  }),
  TagResource: z.strictObject({ SecretId: secretId, Tags: tags }),
  UntagResource: z.strictObject({ SecretId: secretId, TagKeys: z.array(z.string().min(1).max(128)) }),
  DeleteSecret: z.strictObject({
    SecretId: secretId,
    RecoveryWindowInDays: z.number().int().optional(),
    ForceDeleteWithoutRecovery: z.boolean().optional(),
  }),
  RestoreSecret: z.strictObject({ SecretId: secretId }),
  GetRandomPassword: z.strictObject({
    PasswordLength: z.number().int().min(1).max(4096).optional(),
    ExcludeCharacters: z.string().max(4096).optional(),
    ExcludeNumbers: z.boolean().optional(),
    ExcludePunctuation: z.boolean().optional(),
    ExcludeUppercase: z.boolean().optional(),
    ExcludeLowercase: z.boolean().optional(),
    IncludeSpace: z.boolean().optional(),
    RequireEachIncludedType: z.boolean().optional(),
  }),
  PutResourcePolicy: z.strictObject({
    SecretId: secretId,
    ResourcePolicy: z.string().min(1).max(20_480),
    BlockPublicPolicy: z.boolean().optional(),
  }),
  GetResourcePolicy: z.strictObject({ SecretId: secretId }),
  DeleteResourcePolicy: z.strictObject({ SecretId: secretId }),
  ValidateResourcePolicy: z.strictObject({
    SecretId: secretId.optional(),
    ResourcePolicy: z.string().min(1).max(20_480),
  }),
} as const;

export type Operation = keyof typeof requests;
/** What an operation takes, as a caller writes it. */
export type Request<Op extends Operation> = z.input<(typeof requests)[Op]>;

export function isOperation(text: string): text is Operation {
  return Object.hasOwn(requests, text);
}
