import * as z from 'zod';

/** A declaration can't be used as it stands. Its message names each field and what was expected there. */
export class DeclarationError extends Error {
  override readonly name = 'DeclarationError';
}

/** Names are ASCII, so that no wildcard, path step or look-alike can widen what a policy grants. */
const name = (longest: number) =>
  z
    .string()
    .max(longest)
    .regex(
      /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/,
      'expected a-z, 0-9 and -, beginning and ending with a letter or digit',
    );

/** An agent's id. A login of PostgreSQL is the id and two characters, and holds 63. */
export const agentId = name(61).refine((id) => id !== 'admin', 'admin is not an agent');

const identifier = z
  .string()
  .max(63)
  .regex(/^[a-z_][a-z0-9_]*$/, 'expected an identifier of a-z, 0-9 and _');

const kvPath = z
  .string()
  .max(256)
  .regex(/^[a-z0-9-]+(\/[a-z0-9-]+)*$/, 'expected names of a-z, 0-9 and -, parted by /')
  .refine((path) => !/^(agents\/admin|infrastructure)(\/|$)/.test(path), 'no agent reads this path');

const tablePrivilege = z.enum(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']);
const schemaPrivilege = z.enum(['USAGE', 'CREATE']);

const postgres = z.strictObject({
  /** ARN of the secret whose login makes the roles. */
  adminSecretArn: z.string().regex(/^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+$/),
  host: z.string().regex(/^[a-z0-9.-]{1,253}$/, 'expected a host name'),
  port: z.int().min(1).max(65_535).default(5432),
  database: identifier,
  schemas: z
    .record(
      identifier,
      z.strictObject({
        privileges: z.array(schemaPrivilege).default(['USAGE']),
        /** Of every table of the schema, and of those to come. */
        allTables: z.array(tablePrivilege).default([]),
        tables: z.record(identifier, z.array(tablePrivilege)).default({}),
      }),
    )
    .default({}),
});

const vault = z.strictObject({
  /** Below the KV mount, read besides the agent's own `agents/{agentId}/`. */
  kvPaths: z.array(kvPath).default([]),
  databaseRoles: z.array(name(63)).default([]),
});

const kubernetes = z.strictObject({
  serviceAccount: name(63),
  namespace: name(63),
  audience: z.string().regex(/^[A-Za-z0-9:/._-]{1,253}$/, 'expected an audience without wildcards'),
});

/** What one agent may touch: a file of `agents/*.yml`. */
export const declaration = z.strictObject({
  agentId,
  /** The last part of the secret's name, `agents/{agentId}/{secret}`. */
  secret: name(63).default('credentials'),
  postgres: postgres.optional(),
  /** Names of fields that a person fills in, and that rotation leaves alone. */
  staticFields: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,62}$/)).default([]),
  rotationDays: z.int().min(1).max(1000).default(30),
  grace: z
    .string()
    .regex(/^\d{1,7}[smhd]$/, 'expected a whole number and one of s, m, h, d, such as 1h')
    .default('1h'),
  mirror: z.boolean().default(true),
  vault: vault.default({ kvPaths: [], databaseRoles: [] }),
  kubernetes: kubernetes.optional(),
});

export type Declaration = z.infer<typeof declaration>;

/**
 * Reads one declaration, or throws `DeclarationError` with all that is wrong with it.
 *
 * @example
 * readDeclaration({ agentId: 'billing' }).rotationDays; // 30
 */
export function readDeclaration(input: unknown): Declaration {
  const { success, data, error } = declaration.safeParse(input);
  if (success) return data;
  const problems = error.issues.map(({ path, message }) => `${path.join('.') || 'declaration'}: ${message}`);
  throw new DeclarationError(problems.join('; '));
}
