import * as z from 'zod';
import { InvalidSecretError } from '../../credential/errors.ts';
import type { SecretJson } from '../../credential/secret-json.ts';
import { SecretValue } from '../../credential/secret-value.ts';

/** A login of a PostgreSQL server, in AWS's documented shape of a database secret. */
export interface PostgresLogin {
  readonly host: string;
  readonly port: number;
  readonly dbname: string;
  readonly username: string;
  readonly password: SecretValue;
  /** False only where the secret says so in words: plaintext is never fallen back on. */
  readonly tls: boolean;
}

/** A login that alters those of agents. */
export interface AdminLogin extends PostgresLogin {
  /** Roles are the server's, not a database's: where `dbname` lets nobody in, these serve as well, the first one first. */
  readonly otherDatabases: readonly string[];
}

export const postgresEngines = ['postgres', 'aurora-postgresql'] as const;

/** PostgreSQL cuts off what is longer, silently (NAMEDATALEN - 1). */
const longestName = 63;

const name = z
  .string()
  .min(1)
  // Half of a surrogate pair becomes U+FFFD on the wire: two names would be one role's.
  .refine((text) => text.isWellFormed() && !text.includes('\0') && Buffer.byteLength(text) <= longestName);
const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]);
const shape = z.object({
  engine: z.enum(postgresEngines),
  host: z.string().min(1),
  port: z.coerce.number().int().min(1).max(65_535).default(5_432),
  dbname: name.default('postgres'),
  username: name,
  password: z
    .string()
    .min(1)
    .transform((text) => SecretValue.of(text)),
  ssl: flag.default(true),
});

const expected: Readonly<Record<string, string>> = {
  engine: postgresEngines.join(' or '),
  host: 'a host name or address',
  port: 'a port number',
  dbname: `the name of a database, at most ${longestName} bytes`,
  username: `the name of a login, at most ${longestName} bytes`,
  password: 'text',
  ssl: 'true or false',
};

/** @throws InvalidSecretError that names the first field that is missing or can't be used. */
export function postgresLogin(credential: SecretJson): PostgresLogin {
  const result = shape.safeParse(credential.reveal());
  if (!result.success) {
    const field = String(result.error.issues[0]?.path[0] ?? '(whole)');
    throw new InvalidSecretError(field, expected[field] ?? 'another value');
  }
  const { engine: _, ssl, ...login } = result.data;
  return { ...login, tls: ssl };
}

/**
 * A login that is to alter roles, of an admin secret that may name a database of its own. Every run of an agent's tries the databases
 * in the same order, so that runs at the same time meet in one: a lock of ours is one database's.
 */
export function asAdmin(login: PostgresLogin, own?: unknown): AdminLogin {
  const others = [own, 'postgres'].filter(
    (one) => typeof one === 'string' && one !== '' && one !== login.dbname,
  );
  return { ...login, otherDatabases: others.map(String) };
}

/**
 * An admin secret, with what it leaves out as its agent has it: one that RDS manages holds a username and a password only. One that
 * names its host says itself whether the admin's session may go without TLS, whatever an agent's secret or declaration says.
 */
export function onServerOf(
  admin: SecretJson,
  agent: Pick<PostgresLogin, 'host' | 'port' | 'dbname' | 'tls'>,
): SecretJson {
  const held = admin.reveal();
  const {
    engine = 'postgres',
    host = agent.host,
    port = agent.port,
    ssl = held.host === undefined ? agent.tls : true,
  } = held;
  return admin.with({ dbname: agent.dbname, engine, host, port, ssl });
}

/** Whether two logins are of the same server, as far as their secrets tell. */
export function sameServer(one: PostgresLogin, other: PostgresLogin): boolean {
  return one.host.toLowerCase() === other.host.toLowerCase() && one.port === other.port;
}
