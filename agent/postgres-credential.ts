import { z } from 'zod';
import { SecretValue } from '../shared/credential/secret-value.ts';
import { SecretMalformedError } from './errors.ts';
import type { SecretVersion } from './secret-version.ts';

const secretValue = z.custom<SecretValue>((value) => value instanceof SecretValue);
const textual = z.union([z.string(), secretValue.transform((value) => value.reveal())]);

/** The shape that AWS documents for a database's secret. Values written by hand often hold numbers and booleans as text. */
const postgresCredential = z.object({
  engine: z.enum(['postgres', 'postgresql', 'aurora-postgresql']),
  host: z.string().min(1),
  port: z
    .union([textual.transform(Number), z.number()])
    .pipe(z.number().int().min(1).max(65_535))
    .default(5432),
  dbname: z.string().min(1).default('postgres'),
  username: z.string().min(1),
  password: secretValue,
  ssl: z.union([z.boolean(), z.stringbool()]).default(true),
});

export type PostgresCredential = z.output<typeof postgresCredential>;

/**
 * A PostgreSQL login out of a secret: the secret itself, or one of its fields.
 *
 * @example
 * postgresCredentialOf(version, 'database').password; // [secret]
 */
export function postgresCredentialOf(version: SecretVersion, field?: string): PostgresCredential {
  const where = field === undefined ? version.fields : version.fields[field];
  const result = postgresCredential.safeParse(where);
  if (result.success) return result.data;
  const fields = result.error.issues.map(({ path }) => path.map(String).join('.') || 'the whole');
  throw new SecretMalformedError(
    `${field ?? 'The secret'} is no PostgreSQL login; wrong: ${[...new Set(fields)].join(', ')}`,
  );
}
