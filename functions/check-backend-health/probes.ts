import {
  GetSecretValueCommand,
  ListSecretsCommand,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { Client } from 'pg';
import * as z from 'zod';
import type { Vault } from '../../shared/vault/client.ts';
import { vaultHealth } from '../../shared/vault/health.ts';

const timeoutMs = 5_000;
const login = z.object({
  engine: z.literal('postgres'),
  host: z.string(),
  port: z.coerce.number().default(5432),
  dbname: z.string().default('postgres'),
  username: z.string(),
  password: z.string(),
  ssl: z.boolean().default(true),
});

export interface Target {
  readonly backend: string;
  readonly secretArn: string;
}

/** Listing is itself the probe of Secrets Manager. Up to 100 targets. */
export async function listTargets(client: SecretsManagerClient): Promise<readonly Target[]> {
  const { SecretList = [] } = await client.send(
    new ListSecretsCommand({ Filters: [{ Key: 'tag-key', Values: ['keyturn:probe'] }], MaxResults: 100 }),
    { abortSignal: AbortSignal.timeout(timeoutMs) },
  );
  return SecretList.flatMap(({ ARN, Tags = [] }) => {
    const backend = Tags.find(({ Key }) => Key === 'keyturn:probe')?.Value;
    return ARN && backend ? [{ backend, secretArn: ARN }] : [];
  });
}

export async function vaultWorks(address: string, vault: Vault): Promise<boolean> {
  const health = await vaultHealth(address, timeoutMs);
  if (!['active', 'standby', 'performance-standby'].includes(health)) return false;
  return (await vault.lookupToken()).renewable;
}

/** Logs in as the admin would and asks for one row. TLS is verified unless the secret says `ssl: false`. */
export async function targetWorks(client: SecretsManagerClient, { secretArn }: Target): Promise<boolean> {
  const abortSignal = AbortSignal.timeout(timeoutMs);
  const { SecretString = '' } = await client.send(new GetSecretValueCommand({ SecretId: secretArn }), {
    abortSignal,
  });
  const { host, port, username, password, dbname, ssl } = login.parse(JSON.parse(SecretString));
  const postgres = new Client({
    host,
    port,
    user: username,
    password,
    database: dbname,
    ssl: ssl && { rejectUnauthorized: true },
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  postgres.on('error', () => {});
  try {
    await postgres.connect();
    await postgres.query('select 1');
    return true;
  } finally {
    await postgres.end();
  }
}
