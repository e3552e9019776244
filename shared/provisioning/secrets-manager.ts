import { randomUUID } from 'node:crypto';
import {
  CancelRotateSecretCommand,
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  type DescribeSecretCommandOutput,
  PutSecretValueCommand,
  ResourceNotFoundException,
  RotateSecretCommand,
  type SecretsManagerClient,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateSecretCommand,
} from '@aws-sdk/client-secrets-manager';
import { generatePassword } from '../credential/password.ts';
import { SecretJson } from '../credential/secret-json.ts';
import { SecretValue } from '../credential/secret-value.ts';
import { called } from '../secrets-manager/errors.ts';
import { readVersion } from '../secrets-manager/versions.ts';
import { assertOurs } from './agent-secret.ts';
import type { Change, Planned } from './change.ts';
import type { Declaration } from './declaration.ts';
import { scheduleOf } from './schedule.ts';
import { secretNameOf } from './secret-name.ts';

/** Secrets Manager, and what of the deployment an agent's secret names. */
export interface SecretParts {
  readonly secretsManager: SecretsManagerClient;
  /** The deployment's output `RotateSecretFunctionArn`. */
  readonly rotationFunctionArn: string;
  /** The deployment's output `SecretsKeyArn`. */
  readonly kmsKeyId: string;
}

/**
 * What is to be done to an agent's secret: made, with a first login where one is declared; tagged; encrypted with Keyturn's key. A
 * value that is there stays. Fields that a person fills in are told of, and never written.
 *
 * Each change may be repeated. Of two runs that create at the same time the second finds the first's secret.
 *
 * @throws AgentSecretTakenError, SecretsManagerError, InvalidSecretError
 */
export async function planSecret(declaration: Declaration, parts: SecretParts): Promise<Planned> {
  const { secretsManager, kmsKeyId } = parts;
  const name = secretNameOf(declaration);
  const wanted = tagsOf(declaration);
  const secret = await described(secretsManager, name);
  const change = (
    action: Change['action'],
    diff: readonly string[],
    operation: string,
    apply: () => Promise<unknown>,
  ): Change => ({
    system: 'Secrets Manager',
    resource: `secret ${name}`,
    action,
    diff,
    apply: async () => void (await called(operation, apply)),
  });
  if (!secret) {
    const lines = [
      ...Object.entries(wanted).map(([key, value]) => `+ tag ${key}: ${value}`),
      ...firstLoginLines(declaration),
    ];
    const create = change('create', lines, 'CreateSecret', () =>
      secretsManager.send(
        new CreateSecretCommand({
          Name: name,
          KmsKeyId: kmsKeyId,
          SecretString: withFirstLogin(empty, declaration).serialize().reveal(),
          Tags: Object.entries(wanted).map(([Key, Value]) => ({ Key, Value })),
        }),
      ),
    );
    return { changes: [create], notes: notesOf(name, declaration.staticFields, declaration, empty) };
  }
  assertOurs(secret, declaration.agentId);
  const SecretId = secret.ARN ?? name;
  const current = await readVersion(secretsManager, name, { stage: 'AWSCURRENT' });
  const has = new Map((secret.Tags ?? []).map(({ Key, Value }) => [Key, Value]));
  const differing = Object.entries(wanted).filter(([key, value]) => has.get(key) !== value);
  const surplus = declaration.mirror || !has.has('keyturn:mirror') ? [] : ['keyturn:mirror'];
  const lacksLogin = declaration.postgres !== undefined && current?.value.reveal().engine === undefined;
  const value = current?.value ?? empty;
  const changes = [
    differing.length > 0 &&
      change(
        'update',
        differing.flatMap(([key, to]) => tagLines(key, has.get(key), to)),
        'TagResource',
        () =>
          secretsManager.send(
            new TagResourceCommand({ SecretId, Tags: differing.map(([Key, Value]) => ({ Key, Value })) }),
          ),
      ),
    surplus.length > 0 &&
      change(
        'update',
        surplus.map((key) => `- tag ${key}: ${has.get(key)}`),
        'UntagResource',
        () => secretsManager.send(new UntagResourceCommand({ SecretId, TagKeys: surplus })),
      ),
    !isKey(secret.KmsKeyId, kmsKeyId) &&
      change('update', [`- key ${secret.KmsKeyId ?? 'of AWS'}`, `+ key ${kmsKeyId}`], 'UpdateSecret', () =>
        secretsManager.send(new UpdateSecretCommand({ SecretId, KmsKeyId: kmsKeyId })),
      ),
    (lacksLogin || !current) &&
      change('update', firstLoginLines(declaration), 'PutSecretValue', () =>
        secretsManager.send(
          new PutSecretValueCommand({
            SecretId,
            ClientRequestToken: randomUUID(),
            SecretString: withFirstLogin(value, declaration).serialize().reveal(),
          }),
        ),
      ),
  ];
  return {
    changes: changes.filter((each) => each !== false),
    notes: notesOf(name, missingFields(declaration, value), declaration, lacksLogin ? empty : value),
  };
}

/**
 * Rotation, turned on with the rotation function and a schedule of the secret's own. It comes after the logins: Secrets Manager
 * tries the secret at once, though it rotates only when the schedule says so.
 */
export async function planRotation(
  declaration: Declaration,
  { secretsManager, rotationFunctionArn }: Omit<SecretParts, 'kmsKeyId'>,
): Promise<readonly Change[]> {
  if (!declaration.postgres) return [];
  const name = secretNameOf(declaration);
  const secret = await described(secretsManager, name);
  const { RotationEnabled, RotationLambdaARN, RotationRules } = secret ?? {};
  const wanted = scheduleOf(name, declaration);
  const { ScheduleExpression, Duration } = RotationRules ?? {};
  const schedule = `${wanted.ScheduleExpression} within ${wanted.Duration}`;
  const diff = [
    ...(RotationEnabled ? [] : ['+ rotation']),
    ...(RotationLambdaARN === rotationFunctionArn ? [] : [`+ rotation by ${rotationFunctionArn}`]),
    ...(ScheduleExpression === wanted.ScheduleExpression && Duration === wanted.Duration
      ? []
      : [
          ...(ScheduleExpression === undefined
            ? []
            : [`- schedule ${ScheduleExpression} within ${Duration}`]),
          `+ schedule ${schedule}`,
        ]),
  ];
  if (diff.length === 0) return [];
  return [
    {
      system: 'Secrets Manager',
      resource: `rotation of ${name}`,
      action: RotationEnabled ? 'update' : 'create',
      diff,
      async apply() {
        await called('RotateSecret', () =>
          secretsManager.send(
            new RotateSecretCommand({
              SecretId: name,
              RotationLambdaARN: rotationFunctionArn,
              RotationRules: wanted,
              RotateImmediately: false,
            }),
          ),
        );
      },
    },
  ];
}

/** Turns rotation off, first of all when an agent goes: a rotation would give it a login again. */
export async function planRotationEnd(
  declaration: Declaration,
  { secretsManager }: Pick<SecretParts, 'secretsManager'>,
): Promise<readonly Change[]> {
  const name = secretNameOf(declaration);
  const secret = await described(secretsManager, name);
  if (!secret?.RotationEnabled || secret.DeletedDate) return [];
  assertOurs(secret, declaration.agentId);
  return [
    {
      system: 'Secrets Manager',
      resource: `rotation of ${name}`,
      action: 'delete',
      diff: ['- rotation'],
      async apply() {
        const cancel = new CancelRotateSecretCommand({ SecretId: name });
        await called('CancelRotateSecret', () => secretsManager.send(cancel));
      },
    },
  ];
}

/** Deletes the secret: nobody can read it from then on, and for `recoveryDays` it can be restored. */
export async function planSecretEnd(
  declaration: Declaration,
  { secretsManager, recoveryDays }: Pick<SecretParts, 'secretsManager'> & { readonly recoveryDays: number },
): Promise<readonly Change[]> {
  const name = secretNameOf(declaration);
  const secret = await described(secretsManager, name);
  if (!secret || secret.DeletedDate) return [];
  assertOurs(secret, declaration.agentId);
  return [
    {
      system: 'Secrets Manager',
      resource: `secret ${name}`,
      action: 'delete',
      diff: [`- secret ${name}, which can be restored for ${recoveryDays} days`],
      async apply() {
        const deletion = new DeleteSecretCommand({ SecretId: name, RecoveryWindowInDays: recoveryDays });
        await called('DeleteSecret', () => secretsManager.send(deletion));
      },
    },
  ];
}

async function described(
  client: SecretsManagerClient,
  name: string,
): Promise<DescribeSecretCommandOutput | undefined> {
  return called('DescribeSecret', async () => {
    try {
      return await client.send(new DescribeSecretCommand({ SecretId: name }));
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  });
}

function tagsOf(declaration: Declaration): Readonly<Record<string, string>> {
  return {
    agent_id: declaration.agentId,
    managed_by: 'agent-platform',
    'keyturn:grace': declaration.grace,
    ...(declaration.mirror && { 'keyturn:mirror': secretNameOf(declaration) }),
  };
}

const tagLines = (key: string, from: string | undefined, to: string) => [
  ...(from === undefined ? [] : [`- tag ${key}: ${from}`]),
  `+ tag ${key}: ${to}`,
];

/** Secrets Manager gives a key as it was given: its id, its ARN or an alias. */
function isKey(has: string | undefined, wanted: string): boolean {
  return has === wanted || (has !== undefined && (wanted.endsWith(`/${has}`) || has.endsWith(`/${wanted}`)));
}

const empty = SecretJson.parse(SecretValue.of('{}'));

const firstLoginLines = ({ agentId, postgres }: Declaration) =>
  postgres ? [`+ login ${agentId}_a, with a generated password`] : ['+ an empty value'];

/** The value that an agent begins with. Other fields of a value that is there stay. */
function withFirstLogin(value: SecretJson, { agentId, postgres }: Declaration): SecretJson {
  if (!postgres) return value;
  const { engine, host, port, database, ssl, adminSecretArn } = postgres;
  return value.with({
    engine,
    host,
    port,
    dbname: database,
    username: `${agentId}_a`,
    password: SecretValue.of(generatePassword()),
    masterarn: adminSecretArn,
    ...(ssl ? {} : { ssl: false }),
  });
}

function missingFields({ staticFields }: Declaration, value: SecretJson): readonly string[] {
  const has = value.reveal();
  return staticFields.filter((field) => !Object.hasOwn(has, field) || has[field] === '');
}

/** What a person has to do, since nobody else may write a value that is there. */
function notesOf(
  name: string,
  missing: readonly string[],
  { postgres }: Declaration,
  value: SecretJson,
): readonly string[] {
  const { masterarn, engine } = value.reveal();
  const isOther = postgres && engine !== undefined && masterarn !== postgres.adminSecretArn;
  return [
    ...missing.map((field) => `${name}: ${field} is to be filled in`),
    ...(isOther ? [`${name}: masterarn is not the declared admin secret: put the value by hand`] : []),
  ];
}
