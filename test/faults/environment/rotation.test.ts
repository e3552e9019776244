import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import { freePort } from '../../../local/ports.ts';
import type { Postgres } from '../../../local/postgres/server.ts';
import { type SecretsManager, startSecretsManager } from '../../../local/secrets-manager/http.ts';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { type Step, steps } from '../../../shared/rotation/rotation.ts';
import { type Fault, type Microburst, startMicroburst } from '../../integration/microburst.ts';
import { putSecrets, witness } from '../../integration/rotation/in-process.ts';
import { adminOf, agentOn, asAgent, postgresForTests } from '../../integration/rotation/setting.ts';
import { type PostgresProxy, startPostgresProxy } from './postgres-proxy.ts';

const functionArn = 'arn:aws:lambda:eu-central-1:000000000000:function:rotate';

const parts = new AsyncDisposableStack();
let aws: SecretsManager;
let awsFaults: Microburst;
let postgres: Postgres;
let postgresFaults: PostgresProxy;

beforeAll(async () => {
  // The engine invokes nothing here: each test takes the steps itself, as Secrets Manager would.
  const [port, faultsPort] = [await freePort(), await freePort()];
  aws = parts.use(await startSecretsManager({ port, attempts: 1, region: 'eu-central-1' }));
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'microburst.log');
  awsFaults = parts.use(await startMicroburst({ port: faultsPort, upstream: aws.url, logFile }));
  postgres = parts.use(await postgresForTests());
  postgresFaults = parts.use(await startPostgresProxy(postgres.port));
});
afterAll(() => parts.disposeAsync());
afterEach(async () => {
  await awsFaults.inject([]);
  await postgresFaults.inject([]);
});

let count = 0;

/** An agent whose rotation has begun: Secrets Manager has attached AWSPENDING, and calls nobody yet. A busy machine is no AWS that hangs. */
async function rotationBegun({ patienceMs = 30_000 } = {}) {
  count += 1;
  const group = `env${count}`;
  const agent = (await agentOn(postgres, group)).with({ port: postgresFaults.port });
  const admin = adminOf(postgres).with({ port: postgresFaults.port });
  const secretArn = await putSecrets(aws.engine, { agent, admin, names: { agent: group, admin: group } });
  const { VersionId: token = '' } = await aws.engine.RotateSecret({
    SecretId: secretArn,
    RotationLambdaARN: functionArn,
  });
  await aws.engine.idle();
  const { parts: dependencies, said } = witness();
  const secretsManager = new SecretsManagerClient({
    region: 'eu-central-1',
    endpoint: awsFaults.url,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 2,
    requestHandler: {
      connectionTimeout: patienceMs,
      requestTimeout: patienceMs,
      throwOnRequestTimeout: true,
    },
  });
  const step = (Step: Step) =>
    rotateSecret(
      { Step, SecretId: secretArn, ClientRequestToken: token },
      { ...dependencies, secretsManager },
    );
  const current = async () => {
    const { SecretString = '', VersionId = '' } = await aws.engine.GetSecretValue({ SecretId: secretArn });
    return { versionId: VersionId, login: SecretJson.parse(SecretValue.of(SecretString)) };
  };
  const works = ({ login }: { login: SecretJson }) =>
    asAgent(login.with({ port: postgres.port }), `SELECT * FROM ${group}_orders`);
  return { group, token, said, step, current, works };
}

interface Case {
  readonly name: string;
  readonly aws?: readonly Fault[];
  readonly postgres?: readonly Fault[];
  /** The step that meets the fault, and how it ends: the class of the error, for on-call and for the runbook. */
  readonly step: Step;
  readonly error: string;
  /** More than the class. */
  readonly says?: RegExp;
  /** How long an answer of AWS is waited for. */
  readonly patienceMs?: number;
}

const onSecrets = (operation: string, code: string, status = 400): readonly Fault[] => [
  { service: 'secretsmanager', operation, error: { code, status, message: 'canary' } },
];
const atStartup = (fault: Fault): readonly Fault[] => [
  { service: 'postgres', operation: 'startup', ...fault },
];
const fatal = (sqlstate: string) => ({ error: { sqlstate, severity: 'FATAL', message: 'canary' } });

const cases: readonly Case[] = [
  ...(['DescribeSecret', 'GetSecretValue', 'PutSecretValue'] as const).flatMap((operation): Case[] =>
    (
      [
        ['throttles', 'ThrottlingException', 400],
        ['fails', 'InternalServiceError', 500],
        ['denies', 'AccessDeniedException', 400],
      ] as const
    ).map(([what, code, status]) => ({
      name: `Secrets Manager ${what} ${operation}`,
      aws: onSecrets(operation, code, status),
      step: 'createSecret',
      error: 'SecretsManagerError',
      says: new RegExp(code),
    })),
  ),
  {
    name: 'KMS denies to decrypt',
    aws: onSecrets('GetSecretValue', 'DecryptionFailure'),
    step: 'createSecret',
    error: 'SecretsManagerError',
    says: /DecryptionFailure/,
  },
  {
    name: 'KMS denies to encrypt',
    aws: onSecrets('PutSecretValue', 'EncryptionFailure'),
    step: 'createSecret',
    error: 'SecretsManagerError',
    says: /EncryptionFailure/,
  },
  {
    name: 'the version quota is reached',
    aws: onSecrets('PutSecretValue', 'LimitExceededException'),
    step: 'createSecret',
    error: 'SecretsManagerError',
    says: /LimitExceeded/,
  },
  {
    name: 'Secrets Manager hangs',
    aws: [{ service: 'secretsmanager', operation: 'BatchGetSecretValue', timeout_ms: 10_000 }],
    step: 'setSecret',
    error: 'SecretsManagerError',
    patienceMs: 1_000,
  },
  {
    name: 'the connection to Secrets Manager is reset',
    aws: [{ service: 'secretsmanager', operation: 'BatchGetSecretValue', reset: true }],
    step: 'setSecret',
    error: 'SecretsManagerError',
  },
  {
    name: 'the label can not be moved',
    aws: onSecrets('UpdateSecretVersionStage', 'ThrottlingException'),
    step: 'finishSecret',
    error: 'SecretsManagerError',
    says: /Throttling/,
  },
  {
    name: 'the database is down',
    postgres: atStartup({ reset: true }),
    step: 'setSecret',
    error: 'TargetUnreachableError',
  },
  {
    name: 'the database hangs',
    postgres: atStartup({ timeout_ms: 60_000 }),
    step: 'setSecret',
    error: 'TargetUnreachableError',
  },
  {
    name: 'the database is out of connections',
    postgres: atStartup(fatal('53300')),
    step: 'setSecret',
    error: 'TargetUnreachableError',
    says: /53300/,
  },
  {
    name: 'the database is starting up',
    postgres: atStartup(fatal('57P03')),
    step: 'setSecret',
    error: 'TargetUnreachableError',
    says: /57P03/,
  },
  {
    name: 'the database refuses the role by policy',
    postgres: [{ service: 'postgres', operation: 'create', ...fatal('22023') }],
    step: 'setSecret',
    error: 'TargetFailedError',
    says: /22023/,
  },
  {
    name: 'the database shuts down in the transaction',
    postgres: [{ service: 'postgres', operation: 'grant', ...fatal('57P01') }],
    step: 'setSecret',
    error: 'TargetUnreachableError',
    says: /57P01/,
  },
  {
    name: 'the connection breaks at the commit',
    postgres: [{ service: 'postgres', operation: 'commit', reset: true }],
    step: 'setSecret',
    error: 'TargetUnreachableError',
  },
  {
    name: 'the database is down when the new login is tested',
    postgres: atStartup({ reset: true }),
    step: 'testSecret',
    error: 'TargetUnreachableError',
  },
];

describe.each(cases)('while $name', ({ aws: awsRules = [], postgres: postgresRules = [], ...expected }) => {
  test(`${expected.step} fails as ${expected.error}, the agent notices nothing, and the same rotation goes through afterwards`, async () => {
    const { token, said, step, current, works } = await rotationBegun(expected);
    const before = await current();
    for (const each of steps.slice(0, steps.indexOf(expected.step))) await step(each);

    await awsFaults.inject(awsRules);
    await postgresFaults.inject(postgresRules);
    const failure: unknown = await step(expected.step).then(
      () => 'it went through',
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ name: expected.error });
    if (expected.says) expect(failure).toMatchObject({ message: expect.stringMatching(expected.says) });
    expect((await current()).versionId).toBe(before.versionId);
    await works(before);

    await awsFaults.inject([]);
    await postgresFaults.inject([]);
    for (const each of steps) await step(each);
    const after = await current();
    expect(after.versionId).toBe(token);
    await works(after);
    await works(before);
    const heard = `${said.join()}${String(failure)}`;
    for (const { login } of [before, after]) expect(heard).not.toContain(login.reveal().password);
    expect(heard).not.toContain('canary');
  });
});

test("while somebody holds the lock of the agent's roles, setSecret gives up in time, and goes through once it is free", async () => {
  const { group, token, step, current, works } = await rotationBegun();
  const before = await current();
  await step('createSecret');
  const other = new pg.Client({ connectionString: postgres.url });
  await other.connect();
  await other.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [`keyturn:${group}`]);
  await expect(step('setSecret')).rejects.toMatchObject({
    name: 'TargetUnreachableError',
    message: 'PostgreSQL is too busy for a statement (57014)',
  });
  await works(before);
  await other.end();
  for (const each of steps) await step(each);
  expect((await current()).versionId).toBe(token);
  await works(await current());
});
