import { createHash } from 'node:crypto';
import pg from 'pg';
import { TargetFailedError } from '../errors.ts';
import type { HeldVersion } from '../rotator.ts';
import type { Connection } from './connection.ts';

/** What PostgreSQL knows of a login role; undefined where there is none of that name. */
export interface Role {
  readonly canLogIn: boolean;
  /** The version that its password is of: Keyturn's own comment, written with the password. */
  readonly versionId: string | undefined;
  /** When that version was made; undefined where the comment doesn't tell. */
  readonly versionCreatedAt: Date | undefined;
  /** Which secret that version is of, as `secretMark` has it. */
  readonly secret: string | undefined;
  readonly madeByKeyturn: boolean;
}

/** Whether PostgreSQL refused what the role may not do (SQLSTATE 42501). */
export const lacksPrivilege = (error: unknown): boolean =>
  error instanceof TargetFailedError && error.code === '42501';

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
  const canLogIn = row.rolcanlogin === true;
  const [, time, secret] = versionId === undefined ? [] : String(row.comment).split(' ');
  return {
    canLogIn,
    madeByKeyturn: versionId !== undefined,
    versionId,
    versionCreatedAt: dateOf(time),
    secret,
  };
}

/** The version that a role's comment names, where the comment is Keyturn's: `keyturn:ID TIME SECRET`. */
export function versionIn(comment: unknown): string | undefined {
  if (typeof comment !== 'string' || !comment.startsWith(mark)) return undefined;
  return comment.slice(mark.length).split(' ')[0];
}

function dateOf(time: string | undefined): Date | undefined {
  const createdAt = new Date(time ?? Number.NaN);
  return Number.isNaN(createdAt.getTime()) ? undefined : createdAt;
}

/** A secret as roles name it: every login of a server reads their comments, and the ARN would tell them the account. */
export const secretMark = (secretArn: string): string =>
  createHash('sha256').update(secretArn).digest('hex').slice(0, 32);

/** The statement that notes whose version a role's password is (ADR 3). A version id is an identifier, not a secret. */
export function marking(name: string, { secretArn, versionId, createdAt }: HeldVersion): string {
  const comment = literal(`${mark}${versionId} ${createdAt.toISOString()} ${secretMark(secretArn)}`);
  return `COMMENT ON ROLE ${identifier(name)} IS ${comment}`;
}

export async function markRole(connection: Connection, name: string, version: HeldVersion): Promise<void> {
  await connection.query(marking(name, version));
}

/** Whether it holds a version that was made after that time. */
export function isNewer(role: Role | undefined, time: Date): boolean {
  return role?.versionCreatedAt !== undefined && role.versionCreatedAt > time;
}

export async function isMember(connection: Connection, member: string, group: string): Promise<boolean> {
  const [row] = await connection.query(
    `SELECT EXISTS (SELECT FROM pg_auth_members m
       WHERE m.member = to_regrole($1) AND m.roleid = to_regrole($2)) AS is_member`,
    [identifier(member), identifier(group)],
  );
  return row?.is_member === true;
}
