import {
  BatchGetSecretValueCommand,
  GetSecretValueCommand,
  InvalidParameterException,
  InvalidRequestException,
  PutSecretValueCommand,
  ResourceExistsException,
  ResourceNotFoundException,
  type SecretsManagerClient,
  type SecretValueEntry,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { InvalidSecretError } from '../credential/errors.ts';
import { SecretJson } from '../credential/secret-json.ts';
import { SecretValue } from '../credential/secret-value.ts';
import { called, SecretsManagerError } from './errors.ts';

export interface SecretVersion {
  readonly secretArn: string;
  readonly versionId: string;
  readonly createdAt: Date;
  readonly stages: readonly string[];
  readonly value: SecretJson;
}

/** One version, by id, by label, or by both: then they must agree. Undefined where Secrets Manager has no such value. */
export async function readVersion(
  client: SecretsManagerClient,
  secretId: string,
  version: { readonly versionId?: string; readonly stage?: string },
): Promise<SecretVersion | undefined> {
  return called('GetSecretValue', async () => {
    try {
      return await client.send(
        new GetSecretValueCommand({
          SecretId: secretId,
          VersionId: version.versionId,
          VersionStage: version.stage,
        }),
      );
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  }).then((answer) => answer && versionOf(answer));
}

/** Secrets that BatchGetSecretValue takes at once. */
const mostAtOnce = 20;

/**
 * The AWSCURRENT versions of several secrets, by ARN: a call for each 20 of them.
 *
 * @throws SecretsManagerError where one of them can't be read.
 */
export async function readCurrentOf(
  client: SecretsManagerClient,
  secretArns: readonly string[],
): Promise<ReadonlyMap<string, SecretVersion>> {
  const left = [...new Set(secretArns)];
  const versions = new Map<string, SecretVersion>();
  while (left.length > 0) {
    const SecretIdList = left.splice(0, mostAtOnce);
    const { SecretValues = [], Errors = [] } = await called('BatchGetSecretValue', () =>
      client.send(new BatchGetSecretValueCommand({ SecretIdList })),
    );
    const [refused] = Errors;
    if (refused) throw new SecretsManagerError('BatchGetSecretValue', refused.ErrorCode ?? 'unknown');
    for (const value of SecretValues) versions.set(value.ARN ?? '', versionOf(value));
  }
  return versions;
}

/** Puts the value as AWSPENDING and nothing else. `exists`: another run put another value under the same token first. */
export async function putPending(
  client: SecretsManagerClient,
  secretId: string,
  token: string,
  value: SecretValue,
  rotationToken: string | undefined,
): Promise<'put' | 'exists'> {
  return called('PutSecretValue', async () => {
    try {
      await client.send(
        new PutSecretValueCommand({
          SecretId: secretId,
          ClientRequestToken: token,
          SecretString: value.reveal(),
          VersionStages: ['AWSPENDING'],
          RotationToken: rotationToken,
        }),
      );
      return 'put';
    } catch (error) {
      if (error instanceof ResourceExistsException) return 'exists';
      throw error;
    }
  });
}

/**
 * Moves AWSCURRENT. Naming the version that it leaves makes Secrets Manager refuse where the label is elsewhere by now. After the
 * limit it isn't asked again.
 */
export async function moveCurrent(
  client: SecretsManagerClient,
  secretId: string,
  { from, to, limitMs }: { readonly from: string; readonly to: string; readonly limitMs: number },
): Promise<void> {
  await called('UpdateSecretVersionStage', () =>
    client.send(
      new UpdateSecretVersionStageCommand({
        SecretId: secretId,
        VersionStage: 'AWSCURRENT',
        RemoveFromVersionId: from,
        MoveToVersionId: to,
      }),
      { abortSignal: AbortSignal.timeout(limitMs) },
    ),
  );
}

/** Takes AWSPENDING off a version. Where another version has it by now, or none, nothing is to be done. */
export async function releasePending(
  client: SecretsManagerClient,
  secretId: string,
  versionId: string,
): Promise<void> {
  await called('UpdateSecretVersionStage', async () => {
    try {
      await client.send(
        new UpdateSecretVersionStageCommand({
          SecretId: secretId,
          VersionStage: 'AWSPENDING',
          RemoveFromVersionId: versionId,
        }),
      );
    } catch (error) {
      if (error instanceof InvalidParameterException || error instanceof InvalidRequestException) return;
      throw error;
    }
  });
}

function versionOf(answer: SecretValueEntry): SecretVersion {
  const { ARN = '', VersionId = '', CreatedDate = new Date(0), VersionStages = [], SecretString } = answer;
  return {
    secretArn: ARN,
    versionId: VersionId,
    createdAt: CreatedDate,
    stages: VersionStages,
    value: json(SecretString),
  };
}

function json(text: string | undefined): SecretJson {
  if (text === undefined)
    throw new InvalidSecretError('(whole)', 'SecretString, a JSON object, not SecretBinary');
  return SecretJson.parse(SecretValue.of(text));
}
