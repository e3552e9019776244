import * as z from 'zod';
import { AdminPrivilegeError, TargetFailedError } from '../errors.ts';
import type { Connection } from './connection.ts';
import { identifier, lacksPrivilege, literal } from './roles.ts';

/** What `ALTER ROLE ... SET` keeps for the sessions of a login, in one database or in each of them. */
interface Setting {
  readonly database: string | null;
  readonly name: string;
  /** As SQL. */
  readonly value: string;
}

interface LoginSettings {
  readonly settings: readonly Setting[];
  /** -1: none. */
  readonly connectionLimit: number;
  /** ISO 8601, or `infinity`. */
  readonly validUntil: string;
}

const settingsRow = z.object({
  login: z.string(),
  connection_limit: z.number(),
  valid_until: z.string(),
  database: z.string().nullable(),
  settings: z.array(z.string()).nullable(),
});

/**
 * Gives a login what PostgreSQL keeps for another one alone, and no membership passes on: its settings, its limit of connections
 * and its expiry. What the other one doesn't have is taken away. Only `role` isn't copied: it says in whose name a twin works.
 * Nothing is written where nothing differs.
 *
 * @throws AdminPrivilegeError that names the setting where the admin may not change it; TargetFailedError that names it where
 * PostgreSQL refuses it for another reason.
 */
export async function copySettings(connection: Connection, from: string, to: string): Promise<void> {
  const [wanted, held] = await settingsOf(connection, from, to);
  if (!wanted || !held) return;
  const role = `ALTER ROLE ${identifier(to)}`;
  const { connectionLimit, validUntil } = wanted;
  if (connectionLimit !== held.connectionLimit || validUntil !== held.validUntil) {
    await connection.query(`${role} CONNECTION LIMIT ${connectionLimit} VALID UNTIL ${literal(validUntil)}`);
  }
  const at = ({ database }: Setting) =>
    database === null ? role : `${role} IN DATABASE ${identifier(database)}`;
  for (const setting of wanted.settings) {
    if (setting.name === 'role' || find(held, setting)?.value === setting.value) continue;
    const { name, value } = setting;
    await change(connection, `${at(setting)} SET ${identifier(name)} TO ${value}`, { name, from, to });
  }
  for (const setting of held.settings) {
    const { name, database } = setting;
    // One for a single database would come before the twin's own.
    const isWanted = name === 'role' ? database === null : find(wanted, setting) !== undefined;
    if (!isWanted) await change(connection, `${at(setting)} RESET ${identifier(name)}`, { name, from, to });
  }
}

function find({ settings }: LoginSettings, { database, name }: Setting): Setting | undefined {
  return settings.find((each) => each.database === database && each.name === name);
}

/** Of each login in turn; undefined for one that there isn't. */
async function settingsOf(
  connection: Connection,
  ...logins: readonly string[]
): Promise<readonly (LoginSettings | undefined)[]> {
  const rows = z.array(settingsRow).parse(
    await connection.query(
      // JSON has one form of a time, whatever the session's DateStyle.
      `SELECT r.rolname::text AS login, r.rolconnlimit AS connection_limit,
           to_json(coalesce(r.rolvaliduntil, 'infinity')) AS valid_until, d.datname::text AS database, s.setconfig AS settings
         FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid LEFT JOIN pg_database d ON d.oid = s.setdatabase
         WHERE r.rolname = ANY($1)`,
      [logins],
    ),
  );
  return logins.map((login) => {
    const own = rows.filter((row) => row.login === login);
    const [first] = own;
    return (
      first && {
        settings: own.flatMap(({ database, settings }) =>
          (settings ?? []).map((each) => setting(each, database)),
        ),
        connectionLimit: first.connection_limit,
        validUntil: first.valid_until,
      }
    );
  });
}

/** `name=value`, as PostgreSQL stores it. */
function setting(stored: string, database: string | null): Setting {
  const [name = ''] = stored.split('=', 1);
  const value = stored.slice(name.length + 1);
  return {
    database,
    name,
    value: lists.has(name) ? elementsOf(value).map(literal).join(', ') : literal(value),
  };
}

/**
 * PostgreSQL stores these as lists of names, each quoted where it needs quotes (GUC_LIST_QUOTE); `SET` would take such a list in
 * quotes for one name. pg_dump takes them apart too (variable_is_guc_list_quote). An extension can't define one.
 */
const lists = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'temp_tablespaces',
]);

function elementsOf(list: string): readonly string[] {
  const elements = [...list.matchAll(/"((?:[^"]|"")*)"|[^\s,"]+/g)].map(
    ([element, quoted]) => quoted?.replaceAll('""', '"') ?? element,
  );
  // `SET ... TO` needs a value; the empty name leads nowhere, as an empty list does.
  return elements.length === 0 ? [''] : elements;
}

/** The message is for whoever owns the logins: PostgreSQL's own would not say which setting it was. */
async function change(
  connection: Connection,
  sql: string,
  { name, from, to }: { readonly name: string; readonly from: string; readonly to: string },
): Promise<void> {
  try {
    await connection.query(sql);
  } catch (error) {
    if (!(error instanceof TargetFailedError)) throw error;
    throw lacksPrivilege(error)
      ? new AdminPrivilegeError(
          `The admin login may not change the setting ${name} of ${to} to what it is on ${from}: grant it SET ON PARAMETER ${name}, or make the two alike by hand`,
        )
      : new TargetFailedError(`PostgreSQL refuses the setting ${name} of ${from} on ${to}`, error.code);
  }
}
