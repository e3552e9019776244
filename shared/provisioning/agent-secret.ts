import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  type DescribeSecretCommandOutput,
  InvalidRequestException,
  ResourceExistsException,
  ResourceNotFoundException,
  RotateSecretCommand,
  SecretsManagerClient,
  TagResourceCommand,
} from '@aws-sdk/client-secrets-manager';
import { type Json, SecretJson } from '../credential/secret-json.ts';
import { SecretValue } from '../credential/secret-value.ts';
import { called } from '../secrets-manager/errors.ts';
import { agentId as declaredAgentId } from './declaration.ts';

/** The agent's id, or the name of its secret, can't be part of names in AWS; the message says which. Nothing was changed. */
export class InvalidAgentIdError extends Error {
  override readonly name = 'InvalidAgentIdError';
}

/** A secret of that name is somebody else's, or is being deleted. Nothing was changed. */
export class AgentSecretTakenError extends Error {
  override readonly name = 'AgentSecretTakenError';
}

/** How an agent's secret is made. */
export interface AgentSecretOptions {
  /** Default: 30. */
  readonly rotationDays?: number | undefined;
  /** The deployment's output `RotateSecretFunctionArn`. Without it the secret isn't rotated. */
  readonly rotationFunctionArn?: string | undefined;
  /** The deployment's output `SecretsKeyArn`. Default: the account's own key of Secrets Manager. */
  readonly kmsKeyId?: string | undefined;
  /** The secret is named `agents/{agentId}/{name}`. Default: `credentials`. */
  readonly name?: string | undefined;
  /** More tags, such as `keyturn:grace` and `keyturn:mirror`. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  readonly client?: SecretsManagerClient | undefined;
}

/** An agent's secret, and what had to be done for it to be so. */
export interface AgentSecret {
  readonly arn: string;
  /** What was done; empty where everything was so already. */
  readonly changes: readonly ('created' | 'tagged' | 'rotation turned on')[];
}

const MANAGED = { managed_by: 'agent-platform' };
const SECRET_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Makes an agent's secret, with its tags and its rotation. Repeated, or after a crash anywhere, it does what is still to be
 * done; a value that is there stays, for it may have been rotated since.
 *
 * @param secrets the JSON object to begin with: a credential in AWS's documented shape, or several under names.
 * @throws InvalidAgentIdError, AgentSecretTakenError, InvalidSecretError where it is too large, SecretsManagerError
 * @example
 * await createAgentSecret('billing-7', { engine: 'postgres', host, username, password, masterarn }, { rotationDays: 30, rotationFunctionArn });
 */
export async function createAgentSecret(
  agentId: string,
  secrets: Readonly<Record<string, Json | SecretValue>>,
  options: AgentSecretOptions = {},
): Promise<AgentSecret> {
  const { client = new SecretsManagerClient(), kmsKeyId, tags = {} } = options;
  const name = checkedSecretName(agentId, options.name);
  const wanted = { ...tags, agent_id: agentId, ...MANAGED };
  const value = SecretJson.parse(SecretValue.of('{}')).with(secrets).serialize();
  const create = new CreateSecretCommand({
    Name: name,
    SecretString: value.reveal(),
    Tags: Object.entries(wanted).map(([Key, Value]) => ({ Key, Value })),
    ...(kmsKeyId !== undefined && { KmsKeyId: kmsKeyId }),
  });
  const created = await called('CreateSecret', () =>
    client.send(create).catch((error: unknown) => {
      // The second: it exists and is being deleted, which is seen below.
      if (error instanceof ResourceExistsException || error instanceof InvalidRequestException)
        return undefined;
      throw error;
    }),
  );
  const secret = await called('DescribeSecret', () =>
    client.send(new DescribeSecretCommand({ SecretId: name })),
  );
  assertOurs(secret, agentId);
  const arn = secret.ARN ?? name;
  return {
    arn,
    changes: [
      ...(created ? (['created'] as const) : []),
      ...((await tagged(client, arn, secret, wanted)) ? (['tagged'] as const) : []),
      ...((await rotated(client, arn, secret, options)) ? (['rotation turned on'] as const) : []),
    ],
  };
}

/**
 * Deletes an agent's secret: nobody can read it from here on, and for `recoveryDays` (7 to 30; default: 30) it can be restored.
 * Its logins in the target stay as they are. Gives whether there was one to delete.
 *
 * @throws InvalidAgentIdError, AgentSecretTakenError, SecretsManagerError
 */
export async function deleteAgentSecret(
  agentId: string,
  {
    client = new SecretsManagerClient(),
    name,
    recoveryDays = 30,
  }: Pick<AgentSecretOptions, 'client' | 'name'> & {
    readonly recoveryDays?: number | undefined;
  } = {},
): Promise<boolean> {
  const secretId = checkedSecretName(agentId, name);
  /** Undefined where there is none. */
  const ifThere = <T>(operation: string, call: () => Promise<T>) =>
    called(operation, () =>
      call().catch((error: unknown) => {
        if (error instanceof ResourceNotFoundException) return undefined;
        throw error;
      }),
    );
  const secret = await ifThere('DescribeSecret', () =>
    client.send(new DescribeSecretCommand({ SecretId: secretId })),
  );
  if (!secret || secret.DeletedDate) return false;
  assertOurs(secret, agentId);
  const deletion = new DeleteSecretCommand({ SecretId: secretId, RecoveryWindowInDays: recoveryDays });
  return (await ifThere('DeleteSecret', () => client.send(deletion))) !== undefined;
}

function checkedSecretName(agentId: string, name = 'credentials'): string {
  if (!declaredAgentId.safeParse(agentId).success) {
    throw new InvalidAgentIdError(
      'An agent id has 1 to 61 of a-z, 0-9 and -, begins and ends with a letter or digit, and is none of admin, public and none',
    );
  }
  if (!SECRET_NAME.test(name)) throw new InvalidAgentIdError('A name has 1 to 64 of A-Z, a-z, 0-9, _ and -');
  return `agents/${agentId}/${name}`;
}

function tagsOf({
  Tags = [],
}: DescribeSecretCommandOutput): ReadonlyMap<string | undefined, string | undefined> {
  return new Map(Tags.map(({ Key, Value }) => [Key, Value]));
}

/** @throws AgentSecretTakenError */
export function assertOurs(secret: DescribeSecretCommandOutput, agentId: string): void {
  const tags = tagsOf(secret);
  const isOurs = tags.get('agent_id') === agentId && tags.get('managed_by') === MANAGED.managed_by;
  if (!isOurs) throw new AgentSecretTakenError(`${secret.Name} exists, and its tags name another owner`);
  if (secret.DeletedDate)
    throw new AgentSecretTakenError(`${secret.Name} is being deleted: restore it, or wait`);
}

async function tagged(
  client: SecretsManagerClient,
  arn: string,
  secret: DescribeSecretCommandOutput,
  wanted: Readonly<Record<string, string>>,
): Promise<boolean> {
  const has = tagsOf(secret);
  const missing = Object.entries(wanted).filter(([key, value]) => has.get(key) !== value);
  if (missing.length === 0) return false;
  const Tags = missing.map(([Key, Value]) => ({ Key, Value }));
  await called('TagResource', () => client.send(new TagResourceCommand({ SecretId: arn, Tags })));
  return true;
}

/** The first rotation comes by the schedule: to turn it on is not to rotate. */
async function rotated(
  client: SecretsManagerClient,
  arn: string,
  secret: DescribeSecretCommandOutput,
  { rotationFunctionArn, rotationDays = 30 }: AgentSecretOptions,
): Promise<boolean> {
  if (rotationFunctionArn === undefined) return false;
  const isOn =
    secret.RotationEnabled === true &&
    secret.RotationLambdaARN === rotationFunctionArn &&
    secret.RotationRules?.AutomaticallyAfterDays === rotationDays;
  if (isOn) return false;
  const turnOn = new RotateSecretCommand({
    SecretId: arn,
    RotationLambdaARN: rotationFunctionArn,
    RotationRules: { AutomaticallyAfterDays: rotationDays },
    RotateImmediately: false,
  });
  await called('RotateSecret', () => client.send(turnOn));
  return true;
}
