import * as z from 'zod';
import { graceMsOf } from '../labels/tags.ts';

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

/** An agent's id. A login of PostgreSQL is the id and two characters, and holds 63; that server reserves two of the names. */
export const agentId = name(61).refine(
  (id) => !['admin', 'public', 'none'].includes(id),
  'admin, public and none are not agents',
);

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

/** PostgreSQL's own schemas are everybody's. */
const schemaName = identifier.refine(
  (schema) => !/^(pg_|information_schema$)/.test(schema),
  'expected a schema of your own',
);

const postgres = z
  .strictObject({
    adminSecretArn: z
      .string()
      .regex(
        /^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:(?!agents\/)[\w/+=.@!-]+$/,
        "expected the ARN of an admin's secret",
      )
      .describe('ARN of the secret whose login makes the roles'),
    engine: z.enum(['postgres', 'aurora-postgresql']).default('postgres'),
    host: z.string().regex(/^[a-z0-9.-]{1,253}$/, 'expected a host name'),
    port: z.int().min(1).max(65_535).default(5432),
    ssl: z.boolean().default(true).describe('false: the agent talks to the server in plaintext'),
    database: identifier,
    schemas: z
      .record(
        schemaName,
        z.strictObject({
          privileges: z.array(schemaPrivilege).default(['USAGE']),
          allTables: z
            .array(tablePrivilege)
            .default([])
            .describe('Of every table and view of the schema, and of those to come'),
          tables: z.record(identifier, z.array(tablePrivilege)).default({}),
          tablesMadeBy: z
            .array(identifier)
            .min(1)
            .optional()
            .describe(
              "Roles that make the tables to come. Default: the schema's owner, and who owns a table in it",
            ),
        }),
      )
      .default({})
      .describe('What the agent may do, and nothing else'),
  })
  .describe('A login of PostgreSQL, rotated between two users');

const lifetime = z
  .string()
  .regex(/^[1-9]\d{0,4}[smh]$/, 'expected a whole number and one of s, m, h, such as 1h');

const vault = z.strictObject({
  kvPaths: z
    .array(kvPath)
    .default([])
    .describe("Below the KV mount, read besides the agent's own agents/{agentId}/"),
  databaseRoles: z
    .array(name(63))
    .default([])
    .describe('Of the database engine: each gives an instance of the agent a login of its own'),
  databaseConnection: name(63)
    .optional()
    .describe(
      "The engine's connection to the database of `postgres`, made by whoever runs Vault. Without it, so are the roles",
    ),
  databaseLogin: identifier
    .optional()
    .describe('The login of that connection, where it is another than the admin secret holds'),
  databaseTtl: lifetime.default('1h').describe('How long a login of the engine lives without being renewed'),
  databaseMaxTtl: lifetime.default('24h').describe('And at most'),
});

const kubernetes = z.strictObject({
  serviceAccount: name(63),
  namespace: name(63),
  audience: z.string().regex(/^[A-Za-z0-9:/._-]{1,253}$/, 'expected an audience without wildcards'),
});

const loginFields = ['engine', 'host', 'port', 'dbname', 'username', 'password', 'masterarn', 'ssl'];

/** What one agent may touch: a file of `agents/*.yml`. */
export const declaration = z
  .strictObject({
    agentId: agentId.describe("The agent's id, and the name of the file"),
    secret: name(63)
      .default('credentials')
      .describe("The last part of the secret's name, agents/{agentId}/{secret}"),
    postgres: postgres.optional(),
    staticFields: z
      .array(
        z
          .string()
          .regex(/^[A-Za-z_][A-Za-z0-9_]{0,62}$/, 'expected a name of A-Z, a-z, 0-9 and _')
          .refine((field) => !loginFields.includes(field), 'this field is of the login'),
      )
      .default([])
      .describe('Fields of the secret that a person fills in, and that rotation leaves alone'),
    rotationDays: z
      .int()
      .min(1)
      .max(1000)
      .default(30)
      .describe('Days between two rotations; calendar months may make it a thirtieth more'),
    rotationWindow: z
      .strictObject({
        fromHour: z.int().min(0).max(23).default(0).describe('UTC'),
        hours: z.int().min(1).max(24).default(24),
      })
      .default({ fromHour: 0, hours: 24 })
      .describe('Hours of the day in which rotations may begin; each secret has an hour of its own in it'),
    grace: z
      .string()
      .regex(/^\d{1,7}[smhd]$/, 'expected a whole number and one of s, m, h, d, such as 1h')
      .refine(isGrace, 'expected at most 90d')
      .default('1h')
      .describe('How long a superseded login goes on working'),
    mirror: z.boolean().default(true).describe('Whether Vault follows the secret'),
    vault: vault.prefault({}),
    kubernetes: kubernetes.optional(),
  })
  .refine(({ vault, postgres }) => vault.databaseConnection === undefined || postgres !== undefined, {
    path: ['vault', 'databaseConnection'],
    error: 'needs postgres, whose privileges the logins get',
  });

/** As whoever reads the tag judges it. */
function isGrace(text: string): boolean {
  try {
    return graceMsOf({ 'keyturn:grace': text }) >= 0;
  } catch {
    return !/^\d+[smhd]$/.test(text); // which has been told of
  }
}

/** What one agent may touch, with every default filled in: what {@link readDeclaration} gives. */
export type Declaration = z.infer<typeof declaration>;

/**
 * Reads one declaration, or throws `DeclarationError` with all that is wrong with it.
 *
 * @example
 * readDeclaration({ agentId: 'billing' }).rotationDays; // 30
 */
export function readDeclaration(input: unknown): Declaration {
  const { success, data, error } = declaration.safeParse(input, { reportInput: true });
  if (success) return data;
  throw new DeclarationError(error.issues.flatMap(problemsOf).join('; '));
}

/** Of what was given, the names of fields alone: an editor's slip may have put a secret where a value belongs. */
function problemsOf(issue: z.core.$ZodIssue): readonly string[] {
  const field = (more: readonly string[] = []) => [...issue.path, ...more].map(shown).join('.');
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => `${field([key])}: no such field`);
  if (issue.code === 'invalid_key') {
    return issue.issues.map(({ message }) => `${field()}: ${message}`);
  }
  return [`${field() || 'declaration'}: ${expectedBy(issue)}`];
}

/** Words of ours where the schema has none: zod's own tell of JavaScript. */
function expectedBy(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') {
    const isMissing = issue.input === undefined;
    const expected = kindsOfValues[issue.expected] ?? issue.expected;
    return isMissing ? `is missing: expected ${expected}` : `expected ${expected}`;
  }
  if (issue.code === 'invalid_value') return `expected ${issue.values.map(String).join(' or ')}`;
  const unit = issue.code === 'too_big' && issue.origin === 'string' ? ' characters' : '';
  if (issue.code === 'too_small') return `expected at least ${issue.minimum}`;
  if (issue.code === 'too_big') return `expected at most ${issue.maximum}${unit}`;
  return issue.message;
}

const kindsOfValues: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'fields and their values',
  record: 'names and their values',
};

/** A look-alike of a letter is told by its code, not by its looks. */
function shown(part: PropertyKey): string {
  return String(part).replaceAll(/[^ -~]/gu, (other) => `\\u{${(other.codePointAt(0) ?? 0).toString(16)}}`);
}
