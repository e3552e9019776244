import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod';
import { InvalidSecretError } from '../../credential/errors.ts';
import type { SecretJson } from '../../credential/secret-json.ts';
import { AlternateTakenError, TargetFailedError } from '../../rotators/errors.ts';
import type { Connection } from '../../rotators/postgres/connection.ts';
import { type PostgresLogin, postgresLogin, sameServer } from '../../rotators/postgres/credential.ts';
import { versionIn } from '../../rotators/postgres/roles.ts';
import { SecretsManagerError } from '../../secrets-manager/errors.ts';
import { readVersion } from '../../secrets-manager/versions.ts';
import type { Declaration } from '../declaration.ts';
import { secretNameOf } from '../secret-name.ts';
import { noSuchDatabase } from './admin.ts';
import { works } from './agent-login.ts';
import { isMarked } from './marks.ts';

const roleRow = z.object({
  name: z.string(),
  comment: z.string().nullable(),
  /** Of the role that has the agent's name. */
  member: z.boolean(),
});
type RoleRow = z.output<typeof roleRow>;

/** The roles of an agent's names, parted into those that are shown to be its own and somebody else's. */
export interface OwnRoles {
  readonly own: readonly string[];
  /** Those that are its own by a login that works, which is gone when the login is cut. */
  readonly unmarked: readonly Pick<RoleRow, 'name' | 'comment'>[];
  readonly others: readonly string[];
}

/**
 * Which roles are an agent's own: by Keyturn's note on them, or by a login of the agent's secret that works, which is what `apply`
 * takes as proof as well. A login in a group shows whose the group is, and the other way round. The secret is read only where the
 * notes don't do.
 *
 * @throws SecretsManagerError, and what connecting throws.
 */
export async function ownRoles(
  connection: Connection,
  declaration: Declaration,
  client: SecretsManagerClient,
): Promise<OwnRoles> {
  const group = declaration.agentId;
  const rows = z.array(roleRow).parse(
    await connection.query(
      `SELECT rolname AS name, shobj_description(oid, 'pg_authid') AS comment,
           EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid AND pg_get_userbyid(m.roleid) = $1) AS member
         FROM pg_roles r WHERE rolname = ANY($2) ORDER BY 1`,
      [group, [group, `${group}_a`, `${group}_b`]],
    ),
  );
  const noted = rows.filter(({ comment }) => isMarked(comment, group) || versionIn(comment) !== undefined);
  const byNotes = shownBy(noted, rows, group);
  if (byNotes.length === rows.length) return { own: byNotes, unmarked: [], others: [] };
  const logins = await workingLogins(declaration, client);
  const proven = rows.filter((row) => noted.includes(row) || logins.includes(row.name));
  const own = shownBy(proven, rows, group);
  return {
    own,
    unmarked: rows.filter(({ name }) => own.includes(name) && !byNotes.includes(name)),
    others: rows.map(({ name }) => name).filter((name) => !own.includes(name)),
  };
}

function shownBy(proven: readonly RoleRow[], rows: readonly RoleRow[], group: string): readonly string[] {
  const isGroupOwn = proven.some(({ name, member }) => name === group || member);
  return rows
    .filter((row) => proven.includes(row) || (isGroupOwn && (row.name === group || row.member)))
    .map(({ name }) => name);
}

/** @throws AlternateTakenError where a role of the agent's names is somebody else's. */
export function assertNoOthers({ others: [other] }: OwnRoles): void {
  if (other === undefined) return;
  throw new AlternateTakenError(`The role ${other} exists, and nothing shows that it is this agent's`);
}

/** The names by which the agent's secret, as it is or was before, logs in to the declared server. */
async function workingLogins(
  declaration: Declaration,
  client: SecretsManagerClient,
): Promise<readonly string[]> {
  const { postgres: declared } = declaration;
  const names: string[] = [];
  for (const stage of ['AWSCURRENT', 'AWSPREVIOUS']) {
    const value = await heldAs(declaration, stage, client);
    const login = value && loginIn(value);
    if (!login || !declared || !sameServer(login, { ...login, ...declared })) continue;
    if (await isTaken(login)) names.push(login.username);
  }
  return names;
}

async function heldAs(
  declaration: Declaration,
  stage: string,
  client: SecretsManagerClient,
): Promise<SecretJson | undefined> {
  try {
    return (await readVersion(client, secretNameOf(declaration), { stage }))?.value;
  } catch (error) {
    // A secret that is deleted can be restored, but not read.
    if (error instanceof SecretsManagerError && error.code === 'InvalidRequestException') return undefined;
    throw error;
  }
}

function loginIn(value: SecretJson): PostgresLogin | undefined {
  try {
    return postgresLogin(value);
  } catch (error) {
    if (error instanceof InvalidSecretError) return undefined;
    throw error;
  }
}

/** That a database is gone is told only to who has proven the password. */
async function isTaken(login: PostgresLogin): Promise<boolean> {
  try {
    return await works(login);
  } catch (error) {
    if (error instanceof TargetFailedError && error.code === noSuchDatabase) return true;
    throw error;
  }
}
