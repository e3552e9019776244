import * as z from 'zod';
import { AlternateTakenError } from '../../rotators/errors.ts';
import type { Connection } from '../../rotators/postgres/connection.ts';
import { identifier, literal, roleOf } from '../../rotators/postgres/roles.ts';
import type { Declaration } from '../declaration.ts';
import type { Difference } from './difference.ts';
import { isMarked, marking } from './marks.ts';

/** An agent's roles: a group that holds the privileges, and two logins of which one is in use. */
export interface AgentRoles {
  readonly group: string;
  /** The login of AWSCURRENT. An adopted one is the group itself, until its first rotation (ADR 2). */
  readonly current: string;
  readonly logins: readonly string[];
  /** The login of Vault's connection: it puts logins into the group, and can't use it. */
  readonly administrator: string | undefined;
  /** Whether Vault makes logins that are members for as long as they live. */
  readonly hasGuests: boolean;
}

export function agentRoles({ agentId, vault }: Declaration, current = `${agentId}_a`): AgentRoles {
  return {
    group: agentId,
    current,
    logins: current === agentId ? [] : [`${agentId}_a`, `${agentId}_b`],
    administrator: vault.databaseLogin,
    hasGuests: vault.databaseRoles.length > 0,
  };
}

const roleRow = z.object({
  name: z.string(),
  canlogin: z.boolean(),
  inherit: z.boolean(),
  super: z.boolean(),
  createrole: z.boolean(),
  createdb: z.boolean(),
  replication: z.boolean(),
  bypassrls: z.boolean(),
  comment: z.string().nullable(),
});
const membershipRow = z.object({
  role: z.string(),
  member: z.string(),
  grantor: z.string(),
  admin: z.boolean(),
  inherits: z.boolean(),
  sets: z.boolean(),
  /** Its login has an end, as those that Vault makes have. */
  expires: z.boolean(),
});
const settingRow = z.object({ name: z.string(), database: z.string().nullable(), role: z.string() });

export interface Proof {
  /** AWSCURRENT's login works: it is the agent's, and so is the group that it is a member of. */
  readonly isProven: boolean;
  /** Whether AWSPREVIOUS logs in as the group itself, as an adopted login does until its grace is over. */
  readonly isGroupInGrace: () => Promise<boolean>;
}

/**
 * How an agent's roles differ from a group without a login and two members that work in it. Whether a login may log in, and with
 * which password, is the business of rotation.
 *
 * @throws AlternateTakenError where a role of that name is somebody else's.
 */
export async function roleDifferences(
  connection: Connection,
  roles: AgentRoles,
  { isProven, isGroupInGrace }: Proof,
): Promise<readonly Difference[]> {
  const { group, current, logins } = roles;
  const names = [group, ...logins];
  const named = 'SELECT oid FROM pg_roles WHERE rolname = ANY($1)';
  const rows = z.array(roleRow).parse(
    await connection.query(
      `SELECT rolname AS name, rolcanlogin AS canlogin, rolinherit AS inherit, rolsuper AS super, rolcreaterole AS createrole,
           rolcreatedb AS createdb, rolreplication AS replication, rolbypassrls AS bypassrls,
           shobj_description(oid, 'pg_authid') AS comment
         FROM pg_roles WHERE rolname = ANY($1)`,
      [names],
    ),
  );
  const memberships = z.array(membershipRow).parse(
    await connection.query(
      `SELECT pg_get_userbyid(roleid) AS role, pg_get_userbyid(member) AS member, pg_get_userbyid(grantor) AS grantor,
           admin_option AS admin, inherit_option AS inherits, set_option AS sets,
           EXISTS (SELECT FROM pg_roles r WHERE r.oid = member AND isfinite(r.rolvaliduntil)) AS expires
         FROM pg_auth_members WHERE roleid = ANY(ARRAY(${named})) OR member = ANY(ARRAY(${named})) ORDER BY 1, 2`,
      [names],
    ),
  );
  const isMember = (login: string) =>
    memberships.some(({ role, member }) => role === group && member === login);
  const has = (name: string) => rows.find((row) => row.name === name);

  const own = has(group);
  const proven = isProven && (current === group || isMember(current));
  if (own && !isMarked(own.comment, group) && !proven) throw new AlternateTakenError(taken(group));
  for (const login of logins) {
    const role = await roleOf(connection, login);
    const isOurs = role?.madeByKeyturn || isMember(login) || (isProven && login === current);
    if (role && !isOurs) throw new AlternateTakenError(taken(login));
  }
  const isGroupClosed = own?.canlogin === true && current !== group && !(await isGroupInGrace());
  return [
    ...(own ? [] : made(group)),
    ...(own && own.comment === null ? [marked(group)] : []),
    ...logins.flatMap((login) => (has(login) ? [] : made(login))),
    ...rows.flatMap((row) => attributesOf(row, row.name === group && isGroupClosed)),
    ...logins.flatMap((login) => membershipOf(login, group, memberships)),
    ...administration(roles, memberships),
    ...strangersIn(roles, memberships, await currentUser(connection)),
    ...(await sessionRoles(connection, logins, group)),
  ];
}

const taken = (name: string) =>
  `The role ${name} exists, and nothing shows that it is this agent's: rename one`;

const marked = (group: string): Difference => ({
  line: `  role ${group} is noted to be Keyturn's`,
  statements: [marking(group, group, null)],
});

/** A new login gets its password with the repair of a login that is refused, or by its first rotation. */
function made(name: string): readonly Difference[] {
  const isLogin = /_[ab]$/.test(name);
  const create = `CREATE ROLE ${identifier(name)} NOLOGIN INHERIT`;
  return [
    {
      line: `+ role ${name}`,
      statements: isLogin ? [create] : [create, ...marked(name).statements],
    },
  ];
}

const powers = ['super', 'createrole', 'createdb', 'replication', 'bypassrls'] as const;

function attributesOf(row: z.output<typeof roleRow>, closes: boolean): readonly Difference[] {
  const surplus = powers.filter((power) => row[power]);
  const words = [
    ...surplus.map((power) => `NO${power === 'super' ? 'SUPERUSER' : power.toUpperCase()}`),
    ...(row.inherit ? [] : ['INHERIT']),
    ...(closes ? ['NOLOGIN PASSWORD NULL'] : []),
  ];
  if (words.length === 0) return [];
  const line = `- role ${row.name}: ${words.join(', ').replace(' PASSWORD NULL', '')}`;
  return [{ line, statements: [`ALTER ROLE ${identifier(row.name)} ${words.join(' ')}`] }];
}

type Membership = z.output<typeof membershipRow>;

function membershipOf(login: string, group: string, all: readonly Membership[]): readonly Difference[] {
  const own = all.filter(({ role, member }) => role === group && member === login);
  const has = own.some(({ inherits }) => inherits) && own.some(({ sets }) => sets);
  const grant = `GRANT ${identifier(group)} TO ${identifier(login)} WITH INHERIT TRUE, SET TRUE`;
  return [
    ...(has ? [] : [{ line: `+ ${login}: member of ${group}`, statements: [grant] }]),
    ...own
      .filter(({ admin }) => admin)
      .map(({ grantor }) => ({
        line: `- ${login}: the right to grant ${group}`,
        statements: [
          `REVOKE ADMIN OPTION FOR ${identifier(group)} FROM ${identifier(login)} GRANTED BY ${identifier(grantor)} CASCADE`,
        ],
      })),
  ];
}

function administration(
  { group, administrator }: AgentRoles,
  all: readonly Membership[],
): readonly Difference[] {
  if (administrator === undefined) return [];
  if (all.some(({ role, member, admin }) => role === group && member === administrator && admin)) return [];
  const options = 'WITH ADMIN TRUE, INHERIT FALSE, SET FALSE';
  return [
    {
      line: `+ ${administrator}: may put logins into ${group}`,
      statements: [`GRANT ${identifier(group)} TO ${identifier(administrator)} ${options}`],
    },
  ];
}

/**
 * Who else is in the group, and what else its members are in. Whoever makes a role may grant it on, and use it no more than that;
 * Vault's logins come and go by themselves.
 */
function strangersIn(
  { group, logins, hasGuests }: AgentRoles,
  all: readonly Membership[],
  admin: string,
): readonly Difference[] {
  const names = [group, ...logins];
  const isStranger = ({ role, member, admin: mayGrant, inherits, sets, expires }: Membership) => {
    const isDeclared = role === group && logins.includes(member);
    const isGuest = hasGuests && role === group && expires && !mayGrant;
    const isMaker = member === admin || (mayGrant && !inherits && !sets);
    return !isDeclared && !isGuest && !(names.includes(role) && isMaker && !names.includes(member));
  };
  const strangers = all.filter(isStranger);
  /** Goes with the right by which it was granted. Who doesn't have the grantor's own rights could not take it back by name. */
  const goesAlong = ({ role, grantor }: Membership) => {
    const rights = all.filter((each) => each.role === role && each.member === grantor && each.admin);
    const isLost = (each: Membership) => logins.includes(each.member) || strangers.includes(each);
    return rights.length > 0 && rights.every(isLost);
  };
  return strangers.map((each) => ({
    line: `- ${each.member}: member of ${each.role}`,
    statements: goesAlong(each)
      ? []
      : [
          `REVOKE ${identifier(each.role)} FROM ${identifier(each.member)} GRANTED BY ${identifier(each.grantor)} CASCADE`,
        ],
  }));
}

async function currentUser(connection: Connection): Promise<string> {
  const [row] = await connection.query('SELECT session_user::text AS name');
  return String(row?.name);
}

/** A login's sessions begin in the group's role, in every database: what they make is the group's. */
async function sessionRoles(
  connection: Connection,
  logins: readonly string[],
  group: string,
): Promise<readonly Difference[]> {
  const settings = z.array(settingRow).parse(
    await connection.query(
      `SELECT r.rolname AS name, d.datname AS database, substr(c, 6) AS role
         FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase,
           unnest(s.setconfig) c WHERE r.rolname = ANY($1) AND c LIKE 'role=%'`,
      [logins],
    ),
  );
  return logins.flatMap((login) => {
    const own = settings.filter(({ name }) => name === login);
    const begins = own.some(({ database, role }) => database === null && role === group);
    return [
      ...(begins
        ? []
        : [
            {
              line: `+ ${login}: its sessions work as ${group}`,
              statements: [`ALTER ROLE ${identifier(login)} SET role = ${literal(group)}`],
            },
          ]),
      ...own.flatMap(({ database, role }) =>
        database === null || role === group
          ? []
          : [
              {
                line: `- ${login}: its sessions work as another role in database ${database}`,
                statements: [
                  `ALTER ROLE ${identifier(login)} IN DATABASE ${identifier(database)} RESET role`,
                ],
              },
            ],
      ),
    ];
  });
}
