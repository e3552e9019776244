import pg from 'pg';
import type { Connection } from './connection.ts';

/** What PostgreSQL knows of a login role; undefined where there is none of that name. */
export interface Role {
  readonly canLogIn: boolean;
  /** The version that its password is of: Keyturn's own comment, written with the password. */
  readonly versionId: string | undefined;
  readonly madeByKeyturn: boolean;
}

const mark = 'keyturn:';

export const identifier = (name: string): string => pg.escapeIdentifier(name);
export const literal = (text: string): string => pg.escapeLiteral(text);

/** One agent's roles are altered by one transaction at a time. Held until the transaction ends. */
export async function lockGroup(connection: Connection, group: string): Promise<void> {
  await connection.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`${mark}${group}`]);
}

export async function roleOf(connection: Connection, name: string): Promise<Role | undefined> {
  const [row] = await connection.query(
    `SELECT rolcanlogin, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1`,
    [name],
  );
  if (!row) return undefined;
  const versionId = versionIn(row.comment);
  return { canLogIn: row.rolcanlogin === true, madeByKeyturn: versionId !== undefined, versionId };
}

/** The version that a role's comment names, where the comment is Keyturn's. */
export function versionIn(comment: unknown): string | undefined {
  return typeof comment === 'string' && comment.startsWith(mark) ? comment.slice(mark.length) : undefined;
}

/** Writes whose version the role's password is (ADR 3). A version id is an identifier, not a secret. */
export async function markRole(connection: Connection, name: string, versionId: string): Promise<void> {
  await connection.query(`COMMENT ON ROLE ${identifier(name)} IS ${literal(`${mark}${versionId}`)}`);
}

export async function isMember(connection: Connection, member: string, group: string): Promise<boolean> {
  const [row] = await connection.query(
    `SELECT EXISTS (SELECT FROM pg_auth_members m
       WHERE m.member = to_regrole($1) AND m.roleid = to_regrole($2)) AS is_member`,
    [identifier(member), identifier(group)],
  );
  return row?.is_member === true;
}
