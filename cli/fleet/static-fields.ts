import { BatchGetSecretValueCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pMap from 'p-map';
import { credentialsIn } from '../../shared/credential/credentials-in.ts';
import { SecretJson } from '../../shared/credential/secret-json.ts';
import { SecretValue } from '../../shared/credential/secret-value.ts';

/** As many as BatchGetSecretValue takes. */
const batch = 20;
const atOnce = 8;

/** What a credential of AWS's documented shapes consists of. */
const ofCredential = new Set([
  'engine',
  'host',
  'port',
  'dbname',
  'username',
  'password',
  'masterarn',
  'ssl',
  'dbInstanceIdentifier',
  'dbClusterIdentifier',
  'sslmode',
]);

/**
 * The names of the fields that no rotation changes, by the secrets' ARNs; one whose value can't be read is missing. Values are
 * read for their fields' names, and go nowhere.
 */
export async function staticFields(
  client: SecretsManagerClient,
  arns: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const batches = Array.from({ length: Math.ceil(arns.length / batch) }, (_, at) =>
    arns.slice(at * batch, (at + 1) * batch),
  );
  const read = await pMap(
    batches,
    async (SecretIdList) => {
      const { SecretValues = [] } = await client.send(new BatchGetSecretValueCommand({ SecretIdList }));
      return SecretValues.flatMap(({ ARN, SecretString }) => {
        const fields = SecretString === undefined ? undefined : staticIn(SecretValue.of(SecretString));
        return ARN !== undefined && fields ? [[ARN, fields] as const] : [];
      });
    },
    { concurrency: atOnce },
  );
  return new Map(read.flat());
}

/** Exported for its tests. Undefined where it isn't a JSON object. A name that isn't an identifier might be a value. */
export function staticIn(value: SecretValue): readonly string[] | undefined {
  try {
    const secret = SecretJson.parse(value);
    const rotated = new Set(rotatedIn(secret));
    const isRotated = (field: string) =>
      rotated.has(field) || (rotated.has(undefined) && ofCredential.has(field));
    return Object.keys(secret.reveal())
      .filter((field) => !isRotated(field))
      .map((field) => (/^[A-Za-z_]\w{0,62}$/.test(field) ? field : '(a name that is none)'));
  } catch {
    return undefined;
  }
}

function rotatedIn(secret: SecretJson): (string | undefined)[] {
  try {
    return credentialsIn(secret).map(({ field }) => field);
  } catch {
    return [];
  }
}
