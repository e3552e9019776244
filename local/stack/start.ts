import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Part } from '../child.ts';
import { startMinistack } from '../ministack/server.ts';
import { mirrorAppRole } from '../openbao/approle.ts';
import { type OpenBao, startOpenBao } from '../openbao/server.ts';
import { type OwnPostgres, startPostgres } from '../postgres/server.ts';
import { type Listeners, type SecretsManager, startSecretsManager } from '../secrets-manager/http.ts';
import { deploy, type Outputs } from './deploy.ts';
import type { StackPorts } from './ports.ts';

export const region = 'eu-central-1';
export const accountId = '000000000000';

/** Keyturn, deployed, on real parts. Disposing it ends every part. */
export interface Stack extends AsyncDisposable {
  /** One endpoint for all of AWS. */
  readonly endpoint: string;
  readonly secretsManager: SecretsManager;
  readonly openBao: OpenBao;
  readonly postgres: OwnPostgres;
  readonly ministack: Part;
  readonly outputs: Outputs;
  /** The ARN of the secret of PostgreSQL's admin: what an agent's secret names as its `masterarn`. */
  readonly adminSecretArn: string;
  /** What a process needs to use the stack as it would use AWS, Vault and PostgreSQL. */
  readonly environment: Readonly<Record<string, string>>;
  readonly logs: string;
}

/** Starts the parts, then deploys. `say` is told of each step in a few words; `logs` is a folder for the parts' logs. */
export async function startStack(
  options: {
    ports: StackPorts;
    logs: string;
    say: (step: string) => void;
    /** Where the functions find AWS, where that isn't the endpoint itself: something that stands in front of it. */
    functionsEndpoint?: string;
  } & Listeners,
): Promise<Stack> {
  const { ports, logs, say, functionsEndpoint, ...listeners } = options;
  await using parts = new AsyncDisposableStack();
  // Logs are of one run: OpenBao's, for one, holds its unseal key.
  rmSync(logs, { recursive: true, force: true });
  mkdirSync(logs, { recursive: true });
  const logFile = (name: string) => join(logs, `${name}.log`);
  const endpoint = `http://127.0.0.1:${ports.aws}`;

  say('starting PostgreSQL, OpenBao, ministack and Secrets Manager');
  const [postgres, openBao, ministack] = await settled(
    parts,
    startPostgres({ port: ports.postgres, logFile: logFile('postgres') }),
    startOpenBao({ port: ports.openBao, logFile: logFile('openbao') }),
    startMinistack({
      port: ports.ministack,
      workerEndpoint: functionsEndpoint ?? endpoint,
      logFile: logFile('ministack'),
    }),
  );
  const secretsManager = parts.use(
    await startSecretsManager({
      port: ports.aws,
      ministackUrl: ministack.url,
      accountId,
      region,
      ...listeners,
    }),
  );
  const environment = {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    VAULT_ADDR: openBao.url,
    VAULT_TOKEN: openBao.rootToken,
    DATABASE_URL: postgres.url,
    KEYTURN_STAGE: 'local',
  };
  const adminSecretArn = await platformSecrets(secretsManager, openBao, postgres);

  say('serverless deploy --stage local');
  const outputs = await deploy({ environment, vaultAddress: openBao.url, logFile: logFile('deploy') });
  const all = parts.move();
  return {
    endpoint,
    secretsManager,
    openBao,
    postgres,
    ministack,
    outputs,
    adminSecretArn,
    environment,
    logs,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Waits for all, even where one fails: what the others started is ended then. */
async function settled<T extends readonly AsyncDisposable[]>(
  owner: AsyncDisposableStack,
  ...starting: { [Index in keyof T]: Promise<T[Index]> }
): Promise<T> {
  for (const result of await Promise.allSettled(starting)) {
    if (result.status === 'fulfilled') owner.use(result.value);
  }
  return Promise.all(starting);
}

/** What a platform team puts into Secrets Manager before it deploys: an admin login for each server, and Vault's. */
async function platformSecrets(
  { engine }: SecretsManager,
  openBao: OpenBao,
  postgres: OwnPostgres,
): Promise<string> {
  const admin = {
    engine: 'postgres',
    host: '127.0.0.1',
    port: postgres.port,
    dbname: 'postgres',
    username: 'admin',
    password: postgres.password,
    ssl: false,
  };
  await engine.CreateSecret({
    Name: 'keyturn/vault/approle',
    SecretString: JSON.stringify(await mirrorAppRole(openBao)),
  });
  // On AWS the deployment makes it; here CloudFormation would make it in an emulator that isn't asked.
  await engine.CreateSecret({
    Name: 'keyturn/local/mirror-digest-key',
    SecretString: randomBytes(48).toString('base64url'),
  });
  const { ARN } = await engine.CreateSecret({
    Name: 'keyturn/admin/postgres',
    SecretString: JSON.stringify(admin),
    Tags: [{ Key: 'keyturn:probe', Value: 'postgres' }],
  });
  return ARN;
}
