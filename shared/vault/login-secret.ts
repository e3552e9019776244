import { GetSecretValueCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod';
import { parsedJson } from '../parsed-json.ts';
import { called } from '../secrets-manager/errors.ts';
import { VaultDeniedError } from './errors.ts';

const login = z.object({ role_id: z.string().min(1), secret_id: z.string().min(1) });

/** Reads the AppRole from a secret `{"role_id": "...", "secret_id": "..."}`. */
export async function readAppRole(
  client: SecretsManagerClient,
  secretId: string,
): Promise<{ roleId: string; secretId: string }> {
  // Of an answer that is no JSON, the SDK's error quotes what stood there: the login.
  const { SecretString = '' } = await called('GetSecretValue', () =>
    client.send(new GetSecretValueCommand({ SecretId: secretId })),
  );
  const parsed = login.safeParse(parsedJson(SecretString));
  if (!parsed.success) throw new VaultDeniedError('The Vault login secret needs role_id and secret_id');
  return { roleId: parsed.data.role_id, secretId: parsed.data.secret_id };
}
