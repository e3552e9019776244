import { paginateListSecrets, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pMap from 'p-map';
import { rotatorOf } from '../rotators/registry.ts';
import type { TargetLogin } from '../rotators/rotator.ts';
import { called } from '../secrets-manager/errors.ts';
import { readVersion } from '../secrets-manager/versions.ts';

/** Servers that are asked at the same time. */
const atOnce = 10;

/**
 * The logins that all servers take: one question a server, by its admin secret. `complete`: every server answered.
 * A server that is down is the health check's business; what is known of its secrets stays as it was.
 */
export async function targetLogins(
  client: SecretsManagerClient,
  adminSecretsPrefix: string,
): Promise<{ readonly logins: readonly TargetLogin[]; readonly complete: boolean }> {
  const arns = await called('ListSecrets', async () => {
    const found: string[] = [];
    const pages = paginateListSecrets(
      { client, pageSize: 100 },
      { Filters: [{ Key: 'name', Values: [adminSecretsPrefix] }] },
    );
    for await (const { SecretList = [] } of pages) found.push(...SecretList.flatMap(({ ARN }) => ARN ?? []));
    return found;
  });
  const answers = await pMap(arns, (arn) => loginsBy(client, arn).catch(() => undefined), {
    concurrency: atOnce,
  });
  return { logins: answers.flatMap((logins) => logins ?? []), complete: !answers.includes(undefined) };
}

async function loginsBy(
  client: SecretsManagerClient,
  adminSecretArn: string,
): Promise<readonly TargetLogin[] | undefined> {
  const admin = await readVersion(client, adminSecretArn, { stage: 'AWSCURRENT' });
  if (!admin) return undefined;
  const { engine } = admin.value.reveal();
  return rotatorOf(typeof engine === 'string' ? engine : 'postgres').logins(admin.value);
}
