import pg from 'pg';
import {
  ConfusedDeputyError,
  CredentialRefusedError,
  TargetFailedError,
  TargetUnreachableError,
} from '../errors.ts';
import { endBlockers, outlasting } from './blockers.ts';
import type { AdminLogin, PostgresLogin } from './credential.ts';

/** AWS's own templates wait as long. */
const connectTimeoutMs = 5_000;
/** A rotation waits for no lock longer than this; the whole function has 30 s. */
const statementTimeoutMs = 8_000;
/**
 * A function that is killed says no farewell, and its server waits for it: two hours by default, with the transaction's locks
 * held. Between two statements of ours nothing happens that takes long.
 */
const idleTransactionMs = 5_000;
/**
 * An agent may own its database: what it calls as PostgreSQL's own functions are called is not to be run by the admin
 * (CVE-2018-1058). What a session asks for at its start goes before the settings of databases and roles.
 */
const ownFunctions = '-c search_path=pg_catalog,pg_temp';
/** Nor may the owner have the admin's sessions begin in another role, without patience for a lock, or unable to write. */
const adminStart = '-c role=none -c lock_timeout=0 -c default_transaction_read_only=off';

export interface Connection {
  /** The rows of one statement. */
  query(sql: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
}

/**
 * Logs in, does `work` and always closes. pg's errors carry the statement, so none leaves: what leaves has a class, a sentence
 * and an SQLSTATE.
 *
 * A server that wants the password itself, not a proof of it, doesn't get it: whoever may write an agent's secret may name a
 * server of their own, and an admin secret that RDS manages names none.
 *
 * @throws TargetUnreachableError, CredentialRefusedError, TargetFailedError, ConfusedDeputyError, and whatever `work` throws of its own.
 */
export async function connected<T>(
  login: PostgresLogin | AdminLogin,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const client = await opened(login);
  try {
    const query: Connection['query'] = (sql, values) =>
      translated(
        async () => (await client.query<Record<string, unknown>>(sql, [...(values ?? [])])).rows,
        asking,
      );
    if (!isAdmin(login)) return await work({ query });
    const unblock = () => connected(login, (other) => endBlockers(other, processIdOf(client)));
    return await work({ query: (sql, values) => outlasting(sql, query(sql, values), unblock) });
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** No such database, one that takes no connections, one that the login may not connect to, one that has too many. */
const shut = /^(3D000|55000|42501|53300)$/;

/** Logs in; an admin to another database, where the agent's was dropped, renamed or shut: its roles are the server's. */
async function opened(login: PostgresLogin | AdminLogin): Promise<pg.Client> {
  const client = clientOf(login);
  const refusal = await client.connect().then(() => undefined, codeOf);
  if (refusal === undefined) return client;
  await client.end().catch(() => undefined);
  const [dbname, ...otherDatabases] = isAdmin(login) ? login.otherDatabases : [];
  if (dbname !== undefined && shut.test(refusal)) return opened({ ...login, dbname, otherDatabases });
  throw connecting(refusal);
}

function clientOf(login: PostgresLogin | AdminLogin): pg.Client {
  const { host, port, dbname, username, password, tls } = login;
  let isAskedForItself = false;
  const client = new pg.Client({
    host,
    port,
    database: dbname,
    user: username,
    password: () => {
      if (isAskedForItself) throw new PasswordDemandedError();
      return password.reveal();
    },
    ssl: tls && { rejectUnauthorized: true },
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + 1_000,
    idle_in_transaction_session_timeout: idleTransactionMs,
    application_name: 'keyturn',
    options: isAdmin(login) ? `${ownFunctions} ${adminStart}` : ownFunctions,
  });
  // Heard before pg's own listener, which it adds when it connects and which asks for the password.
  client.connection.on('authenticationCleartextPassword', () => {
    isAskedForItself = true;
  });
  // A connection that breaks later is told of by its queries; unheard, the event would end the process.
  client.on('error', () => undefined);
  return client;
}

const isAdmin = (login: PostgresLogin | AdminLogin): login is AdminLogin => 'otherDatabases' in login;

/** The server's process of that session, which pg knows and its types don't tell. */
function processIdOf(client: pg.Client): number {
  const id: unknown = Reflect.get(client, 'processID');
  return typeof id === 'number' ? id : 0;
}

/** Ends the attempt to connect; what leaves is a ConfusedDeputyError. */
class PasswordDemandedError extends Error {
  override readonly name = 'PasswordDemandedError';
  readonly code = 'PASSWORD_DEMANDED';
}

/** Does `work` as one transaction: all of it, or nothing. */
export async function inTransaction<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
  await connection.query('BEGIN');
  try {
    const result = await work();
    await connection.query('COMMIT');
    return result;
  } catch (error) {
    // The connection may be gone, and the transaction with it; the first error is the one to tell of.
    await connection.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function translated<T>(call: () => Promise<T>, translate: (code: string) => Error): Promise<T> {
  const outcome = await call().then(
    (value) => ({ value }),
    (error: unknown) => ({ error: translate(codeOf(error)) }),
  );
  if ('error' in outcome) throw outcome.error;
  return outcome.value;
}

/** SQLSTATE, or the code of a system call or of TLS. */
function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'no code';
}

const refusedLogin = new Set(['28000', '28P01']);

function connecting(code: string): Error {
  if (refusedLogin.has(code)) return new CredentialRefusedError('PostgreSQL refuses the login');
  if (code === '42501')
    return new CredentialRefusedError('PostgreSQL does not let the login into the database');
  if (code === 'PASSWORD_DEMANDED')
    return new ConfusedDeputyError(
      'The server asks for the password in clear text, which PostgreSQL with SCRAM never does',
    );
  if (code === '3D000') return new TargetFailedError('PostgreSQL has no such database', code);
  return new TargetUnreachableError(
    `PostgreSQL can't be reached, or its certificate isn't trusted (${code})`,
  );
}

/** A limit of time or a lock, a deadlock, and what the server ran out of: nothing is wrong with the statement. */
const busy = /^(57014|55P03|40|53)/;

function asking(code: string): Error {
  if (busy.test(code)) return new TargetUnreachableError(`PostgreSQL is too busy for a statement (${code})`);
  const gone = code === 'no code' || code.startsWith('08') || code.startsWith('57P') || code.startsWith('E');
  return gone
    ? new TargetUnreachableError(`The connection to PostgreSQL broke (${code})`)
    : new TargetFailedError('PostgreSQL refused a statement', code);
}
