import { paginateListSecrets, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pMap from 'p-map';
import type { SecretJson } from '../credential/secret-json.ts';
import { errorClassOf } from '../observability/error-class.ts';
import type { AppliedDeclarations } from '../provisioning/declarations-state.ts';
import { onServer } from '../provisioning/postgres/admin.ts';
import { NoCurrentVersionError } from '../rotation/errors.ts';
import { TargetUnreachableError } from '../rotators/errors.ts';
import { rotatorOf } from '../rotators/registry.ts';
import type { TargetLogin } from '../rotators/rotator.ts';
import { called } from '../secrets-manager/errors.ts';
import { readVersion } from '../secrets-manager/versions.ts';

/** Servers that are asked at the same time. */
const atOnce = 10;

export interface TargetLoginsParts {
  readonly secretsManager: SecretsManagerClient;
  /** What the names of the admin secrets begin with. */
  readonly adminSecretsPrefix: string;
  /** Read only where an admin secret doesn't say of which server it is. */
  readonly declarations: Pick<AppliedDeclarations, 'list'>;
  readonly log: { warn(message: string, fields: Record<string, string>): void };
}

/**
 * The logins that all servers take: one question a server, by its admin secret. `complete`: every server answered; what is known
 * of the secrets of one that did not stays as it was. One that is down is the health check's to tell. Whatever else keeps a server
 * from being asked is logged, since nobody else looks: an admin secret that can't be read or used, or a login that is refused.
 *
 * @throws SecretsManagerError where the admin secrets can't be listed.
 */
export async function targetLogins(
  parts: TargetLoginsParts,
): Promise<{ readonly logins: readonly TargetLogin[]; readonly complete: boolean }> {
  const { secretsManager, adminSecretsPrefix, declarations, log } = parts;
  let listed: ReturnType<ListDeclarations> | undefined;
  const listOnce: ListDeclarations = () => (listed ??= declarations.list());
  const arns = await called('ListSecrets', async () => {
    const found: string[] = [];
    const pages = paginateListSecrets(
      { client: secretsManager, pageSize: 100 },
      { Filters: [{ Key: 'name', Values: [adminSecretsPrefix] }] },
    );
    for await (const { SecretList = [] } of pages) found.push(...SecretList.flatMap(({ ARN }) => ARN ?? []));
    return found;
  });
  const answers = await pMap(
    arns,
    async (secretArn) => {
      try {
        return await loginsBy(secretsManager, secretArn, listOnce);
      } catch (error) {
        if (!(error instanceof TargetUnreachableError))
          log.warn('Server not asked', { secretArn, errorClass: errorClassOf(error) });
        return undefined;
      }
    },
    { concurrency: atOnce },
  );
  return { logins: answers.flatMap((logins) => logins ?? []), complete: !answers.includes(undefined) };
}

type ListDeclarations = AppliedDeclarations['list'];

async function loginsBy(
  client: SecretsManagerClient,
  adminSecretArn: string,
  list: ListDeclarations,
): Promise<readonly TargetLogin[]> {
  const admin = await readVersion(client, adminSecretArn, { stage: 'AWSCURRENT' });
  if (!admin) throw new NoCurrentVersionError('The admin secret');
  const logins: TargetLogin[] = [];
  for (const value of await onItsServers(admin.value, adminSecretArn, list)) {
    const { engine } = value.reveal();
    logins.push(...(await rotatorOf(typeof engine === 'string' ? engine : 'postgres').logins(value)));
  }
  return logins;
}

/**
 * An admin secret that names no host, as those that RDS manages, is of the servers that agents were declared to be on. What an
 * agent's secret says isn't asked: that would be to read the secrets of all agents.
 */
async function onItsServers(
  admin: SecretJson,
  adminSecretArn: string,
  list: ListDeclarations,
): Promise<readonly SecretJson[]> {
  if (admin.reveal().host !== undefined) return [admin];
  const { known } = await list();
  const servers = new Map(
    known.flatMap(({ declaration: { postgres } }) =>
      postgres?.adminSecretArn === adminSecretArn ? [[`${postgres.host}:${postgres.port}`, postgres]] : [],
    ),
  );
  // Of no server that is known: the rotator names the field that is missing.
  return servers.size === 0 ? [admin] : [...servers.values()].map((server) => onServer(admin, server));
}
