import * as z from 'zod';
import type { Connection } from '../../rotators/postgres/connection.ts';
import { identifier } from '../../rotators/postgres/roles.ts';
import { type Declaration, DeclarationError } from '../declaration.ts';
import { comparing, type Difference } from './difference.ts';

type Declared = NonNullable<Declaration['postgres']>;

/** What a privilege is of, as GRANT and REVOKE name it. */
interface Target {
  /** `ALTER DEFAULT PRIVILEGES ... ` where it is of what will be made. */
  readonly prefix: string;
  readonly on: string;
  readonly label: string;
}

/** A privilege that a role was given by name. What it owns, and what PUBLIC has, is not among them. */
interface Held {
  readonly target: Target;
  readonly privilege: string;
  readonly grantee: string;
  readonly grantable: boolean;
  /** Only who granted it can take it back. Undefined: it is taken back as its owner. */
  readonly grantor: string | undefined;
}

const dotted = (...names: readonly string[]) => names.map(identifier).join('.');
const target = (on: string, label: string, prefix = ''): Target => ({ prefix, on, label });
const databaseTarget = (name: string) => target(`DATABASE ${identifier(name)}`, `database ${name}`);
const schemaTarget = (name: string) => target(`SCHEMA ${identifier(name)}`, `schema ${name}`);
const tableTarget = (schema: string, name: string) =>
  target(`TABLE ${dotted(schema, name)}`, `table ${schema}.${name}`);
const sequenceTarget = (schema: string, name: string) =>
  target(`SEQUENCE ${dotted(schema, name)}`, `sequence ${schema}.${name}`);

function toComeTarget(what: string, maker: string, schema: string | null): Target {
  const within = schema === null ? '' : ` IN SCHEMA ${identifier(schema)}`;
  return target(
    what,
    `${what.toLowerCase()} that ${maker} will make${schema === null ? '' : ` in schema ${schema}`}`,
    `ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(maker)}${within} `,
  );
}

/**
 * How the privileges of an agent's roles differ from what is declared: what the group lacks, and what it or a login of its own
 * has beyond that, columns, functions, defaults and the right to grant included.
 *
 * @throws DeclarationError where a schema or a table that is declared isn't there.
 */
export async function privilegeDifferences(
  connection: Connection,
  declared: Declared,
  { group, logins }: { readonly group: string; readonly logins: readonly string[] },
): Promise<readonly Difference[]> {
  const wanted = await wantedBy(connection, declared, [group, ...logins]);
  const held = await heldBy(connection, [group, ...logins]);
  const has = new Set(
    held.flatMap((each) => (each.grantee === group ? keyOf(each.target, each.privilege) : [])),
  );
  const lacking = wanted.flatMap(({ of, privileges }) => {
    const missing = privileges.filter((privilege) => !has.has(keyOf(of, privilege)));
    return missing.length > 0 ? granting(of, missing, group) : [];
  });
  const allowed = new Set(wanted.flatMap(({ of, privileges }) => privileges.map((each) => keyOf(of, each))));
  allowed.add(keyOf(databaseTarget(declared.database), 'CONNECT'));
  const surplus = held.flatMap((each) => {
    const isDeclared = each.grantee === group && allowed.has(keyOf(each.target, each.privilege));
    if (isDeclared && !each.grantable) return [];
    return revoking(each, isDeclared);
  });
  const others = await otherDifferences(connection, [group, ...logins]);
  return [...lacking, ...surplus, ...others].toSorted(comparing);
}

const keyOf = ({ prefix, on }: Target, privilege: string) => `${prefix}${privilege} ON ${on}`;

function granting(of: Target, privileges: readonly string[], group: string): Difference {
  return {
    line: `+ ${group}: ${privileges.join(', ')} on ${of.label}`,
    statements: [`${of.prefix}GRANT ${privileges.join(', ')} ON ${of.on} TO ${identifier(group)}`],
  };
}

/** Whoever was given it by the agent in turn loses it too. */
function revoking({ target: of, privilege, grantee, grantor }: Held, onlyTheOption: boolean): Difference {
  const what = onlyTheOption ? `GRANT OPTION FOR ${privilege}` : privilege;
  const revoke = `${of.prefix}REVOKE ${what} ON ${of.on} FROM ${identifier(grantee)} CASCADE`;
  return {
    line: `- ${grantee}: ${onlyTheOption ? `the right to grant ${privilege}` : privilege} on ${of.label}`,
    statements:
      grantor === undefined ? [revoke] : [`SET LOCAL ROLE ${identifier(grantor)}`, revoke, 'RESET ROLE'],
  };
}

const schemaRow = z.object({ schema: z.string(), owner: z.string() });
const relationRow = z.object({
  schema: z.string(),
  name: z.string(),
  kind: z.string(),
  owner: z.string(),
  /** The table whose column a sequence fills (`serial`). */
  fills: z.string().nullable(),
});

/** What is declared, spelled out for the tables that there are. What the agent itself owns needs no grant. */
async function wantedBy(
  connection: Connection,
  { database, schemas }: Declared,
  own: readonly string[],
): Promise<readonly { readonly of: Target; readonly privileges: readonly string[] }[]> {
  const names = Object.keys(schemas);
  const found = z.array(schemaRow).parse(
    await connection.query(
      `SELECT n.nspname AS schema, pg_get_userbyid(CASE pg_get_userbyid(n.nspowner) WHEN 'pg_database_owner'
           THEN (SELECT datdba FROM pg_database WHERE datname = current_database()) ELSE n.nspowner END) AS owner
         FROM pg_namespace n WHERE n.nspname = ANY($1)`,
      [names],
    ),
  );
  const relations = z.array(relationRow).parse(
    await connection.query(
      `SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, pg_get_userbyid(c.relowner) AS owner,
           (SELECT t.relname FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid
              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
                AND d.deptype = 'a' AND c.relkind = 'S' LIMIT 1) AS fills
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY($1) AND c.relkind = ANY('{r,p,v,m,f,S}') ORDER BY 1, 2`,
      [names],
    ),
  );
  // Most databases let everybody connect.
  const [mayConnect] = await connection.query(
    `SELECT has_database_privilege(coalesce((SELECT rolname FROM pg_roles WHERE rolname = $1), 'public'), $2::text, 'CONNECT')
       AS already`,
    [own[0], database],
  );
  const connecting =
    mayConnect?.already === true ? [] : [{ of: databaseTarget(database), privileges: ['CONNECT'] }];
  return [
    ...connecting,
    ...Object.entries(schemas).flatMap(([schema, rights]) => {
      const there = found.find((each) => each.schema === schema);
      if (!there) throw new DeclarationError(`postgres.schemas.${schema}: ${database} has no such schema`);
      const within = relations.filter((each) => each.schema === schema);
      const tables = within.filter(({ kind }) => kind !== 'S');
      const unknown = Object.keys(rights.tables).find((name) => !tables.some((table) => table.name === name));
      if (unknown !== undefined) {
        throw new DeclarationError(`postgres.schemas.${schema}.tables.${unknown}: there is no such table`);
      }
      const others = within.filter(({ owner }) => !own.includes(owner));
      const rightsOn = (table: string) => [
        ...new Set([...rights.allTables, ...(rights.tables[table] ?? [])]),
      ];
      const makers = rights.tablesMadeBy ?? [there.owner, ...tables.map(({ owner }) => owner)];
      const toCome =
        rights.allTables.length > 0 ? new Set(makers.filter((maker) => !own.includes(maker))) : [];
      const inserts = rights.allTables.includes('INSERT');
      return [
        { of: schemaTarget(schema), privileges: own.includes(there.owner) ? [] : rights.privileges },
        ...others.map(({ kind, name, fills }) => {
          if (kind !== 'S') return { of: tableTarget(schema, name), privileges: rightsOn(name) };
          // Who inserts takes the next number of a `serial` column.
          const counts = inserts || (fills !== null && rightsOn(fills).includes('INSERT'));
          return { of: sequenceTarget(schema, name), privileges: counts ? ['USAGE'] : [] };
        }),
        ...[...toCome].flatMap((maker) => [
          { of: toComeTarget('TABLES', maker, schema), privileges: [...new Set(rights.allTables)] },
          { of: toComeTarget('SEQUENCES', maker, schema), privileges: inserts ? ['USAGE'] : [] },
        ]),
      ];
    }),
  ];
}

const heldRow = z.object({
  kind: z.enum(['database', 'schema', 'table', 'sequence', 'column', 'to come']),
  schema: z.string().nullable(),
  name: z.string(),
  /** Of a column, its name; of what is to come, which kind of thing. */
  part: z.string().nullable(),
  privilege: z.string(),
  grantee: z.string(),
  grantable: z.boolean(),
  grantor: z.string().nullable(),
});

const toCome: Readonly<Record<string, string>> = {
  r: 'TABLES',
  S: 'SEQUENCES',
  f: 'FUNCTIONS',
  T: 'TYPES',
  n: 'SCHEMAS',
  L: 'LARGE OBJECTS',
};

/** By what PostgreSQL notes of a role: to look into all that the database has would make a look at a fleet grow with its square. */
async function heldBy(connection: Connection, roles: readonly string[]): Promise<readonly Held[]> {
  const rows = await connection.query(
    `WITH own AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY($1)),
       noted AS (SELECT DISTINCT classid, objid, objsubid FROM pg_shdepend JOIN own ON own.oid = refobjid
         WHERE refclassid = 'pg_authid'::regclass AND deptype = 'a'
           AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
       acls AS (
         SELECT 'database' AS kind, NULL::name AS schema, datname AS name, NULL::text AS part, datacl AS acl, datdba AS owner
           FROM noted JOIN pg_database d ON d.oid = objid
           WHERE classid = 'pg_database'::regclass AND datname = current_database()
         UNION ALL SELECT 'schema', NULL, nspname, NULL, nspacl, nspowner
           FROM noted JOIN pg_namespace n ON n.oid = objid WHERE classid = 'pg_namespace'::regclass
         UNION ALL SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname, NULL, c.relacl, c.relowner
           FROM noted JOIN pg_class c ON c.oid = objid JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE classid = 'pg_class'::regclass AND objsubid = 0
         UNION ALL SELECT 'column', n.nspname, c.relname, a.attname::text, a.attacl, c.relowner
           FROM noted JOIN pg_attribute a ON a.attrelid = objid AND a.attnum = objsubid
             JOIN pg_class c ON c.oid = objid JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE classid = 'pg_class'::regclass AND objsubid > 0 AND NOT a.attisdropped
         UNION ALL SELECT 'to come', n.nspname, pg_get_userbyid(d.defaclrole), d.defaclobjtype::text, d.defaclacl, d.defaclrole
           FROM noted JOIN pg_default_acl d ON d.oid = objid LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
           WHERE classid = 'pg_default_acl'::regclass)
     SELECT kind, schema, name, part, a.privilege_type AS privilege, own.rolname AS grantee, a.is_grantable AS grantable,
         CASE WHEN a.grantor <> acls.owner THEN pg_get_userbyid(a.grantor) END AS grantor
       FROM acls, aclexplode(acls.acl) a JOIN own ON own.oid = a.grantee
       WHERE acls.owner NOT IN (SELECT oid FROM own)`,
    [roles],
  );
  return z
    .array(heldRow)
    .parse(rows)
    .map(({ privilege, grantee, grantable, grantor, ...of }) => ({
      target: heldTarget(of),
      privilege: of.kind === 'column' ? `${privilege} (${identifier(of.part ?? '')})` : privilege,
      grantee,
      grantable,
      grantor: grantor ?? undefined,
    }));
}

function heldTarget({
  kind,
  schema,
  name,
  part,
}: Pick<z.output<typeof heldRow>, 'kind' | 'schema' | 'name' | 'part'>): Target {
  switch (kind) {
    case 'database':
      return databaseTarget(name);
    case 'schema':
      return schemaTarget(name);
    case 'sequence':
      return sequenceTarget(schema ?? '', name);
    case 'to come':
      return toComeTarget(toCome[part ?? ''] ?? 'TABLES', name, schema);
    default:
      return tableTarget(schema ?? '', name);
  }
}

/** Kinds of things that a declaration knows no privileges of, by PostgreSQL's own names, and GRANT's word for them. */
const otherKinds: ReadonlyMap<string, string> = new Map([
  ['function', 'ROUTINE'],
  ['procedure', 'ROUTINE'],
  ['aggregate', 'ROUTINE'],
  ['type', 'TYPE'],
  ['language', 'LANGUAGE'],
  ['foreign-data wrapper', 'FOREIGN DATA WRAPPER'],
  ['server', 'FOREIGN SERVER'],
  ['large object', 'LARGE OBJECT'],
  ['tablespace', 'TABLESPACE'],
  ['database', 'DATABASE'],
  ['parameter ACL', 'PARAMETER'],
]);

const otherRow = z.object({ kind: z.string(), identity: z.string(), grantee: z.string() });

/** PostgreSQL notes a privilege on a kind of thing that Keyturn doesn't know: somebody has to take it back. */
export class UnknownPrivilegeError extends Error {
  override readonly name = 'UnknownPrivilegeError';
}

/**
 * PostgreSQL notes on which things a role has a privilege; of these kinds none is declared. It notes the memberships that the role
 * granted in the same way, which go with the right to grant them.
 *
 * @throws UnknownPrivilegeError
 */
async function otherDifferences(
  connection: Connection,
  roles: readonly string[],
): Promise<readonly Difference[]> {
  const rows = await connection.query(
    `SELECT i.type AS kind, i.identity, r.rolname AS grantee
       FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid,
         pg_identify_object(d.classid, d.objid, d.objsubid) i
       WHERE d.refclassid = 'pg_authid'::regclass AND r.rolname = ANY($1) AND d.deptype = 'a'
         AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
         AND d.classid <> ALL (ARRAY['pg_class'::regclass, 'pg_namespace'::regclass, 'pg_default_acl'::regclass,
           'pg_auth_members'::regclass])
         AND NOT (d.classid = 'pg_database'::regclass
           AND d.objid = (SELECT oid FROM pg_database WHERE datname = current_database()))`,
    [roles],
  );
  return z.array(otherRow).parse(rows).map(takingBack);
}

/**
 * Everything that a role has on a thing of a kind that no declaration knows.
 *
 * @throws UnknownPrivilegeError
 */
export function takingBack({ kind, identity, grantee }: z.output<typeof otherRow>): Difference {
  const word = otherKinds.get(kind);
  if (word === undefined) {
    throw new UnknownPrivilegeError(
      `${grantee} has a privilege on ${kind} ${identity}, a kind that Keyturn doesn't know: take it back by hand`,
    );
  }
  return {
    line: `- ${grantee}: everything on ${kind} ${identity}`,
    statements: [`REVOKE ALL ON ${word} ${identity} FROM ${identifier(grantee)} CASCADE`],
  };
}
