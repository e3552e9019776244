import { paginateListSecrets, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';

/** An admin secret whose tag `keyturn:probe` names the server that it opens. */
export interface Target {
  readonly name: string;
  readonly secretArn: string;
}

/** Lists the targets, which is itself the probe of Secrets Manager. @throws what the SDK throws when it gets no answer. */
export async function listTargets(
  client: SecretsManagerClient,
  deadlineMs: number,
): Promise<readonly Target[]> {
  const pages = paginateListSecrets(
    { client, pageSize: 100 },
    { Filters: [{ Key: 'tag-key', Values: ['keyturn:probe'] }] },
    { abortSignal: AbortSignal.timeout(deadlineMs) },
  );
  const targets: Target[] = [];
  for await (const { SecretList = [] } of pages) {
    for (const { ARN, Tags = [] } of SecretList) {
      const name = Tags.find(({ Key }) => Key === 'keyturn:probe')?.Value;
      if (ARN && name) targets.push({ name, secretArn: ARN });
    }
  }
  return targets;
}
