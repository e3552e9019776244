import { z } from 'zod';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { scramVerifier } from '../../../shared/rotators/postgres/scram.ts';

/** A role as PostgreSQL keeps it, as far as Keyturn's statements reach. */
export interface ModelRole {
  readonly login: boolean;
  readonly verifier: string | undefined;
  readonly inherit: boolean;
  /** `ALTER ROLE ... SET role`. */
  readonly setRole: string | undefined;
  /** `ALTER ROLE ... SET` of anything else, as it is stored. */
  readonly settings: readonly ModelSetting[];
  /** Kept, and not enforced; nor is the expiry. */
  readonly connectionLimit: number;
  readonly validUntil: string;
  readonly comment: string | undefined;
  readonly memberOf: ReadonlyMap<string, { readonly inherit: boolean; readonly set: boolean }>;
}

export interface ModelSetting {
  /** Null: in each. */
  readonly database: string | null;
  readonly name: string;
  readonly value: string;
}

export const newRole: ModelRole = {
  login: false,
  verifier: undefined,
  inherit: true,
  setRole: undefined,
  settings: [],
  connectionLimit: -1,
  validUntil: 'infinity',
  comment: undefined,
  memberOf: new Map(),
};

/** What PostgreSQL answers a statement with that it refuses. */
export class ModelSqlError extends Error {
  override readonly name = 'ModelSqlError';
  readonly code: string;
  constructor(code: string) {
    super(`the model refuses: ${code}`);
    this.code = code;
  }
}

/** The code under test sent what the model doesn't know: teach the model, and the conformance test. */
export class UnknownStatementError extends Error {
  override readonly name = 'UnknownStatementError';
}

type Row = Readonly<Record<string, unknown>>;
type Changes = Map<string, ModelRole | undefined>;

/** One session. A statement that must wait for a lock answers with a promise. */
export interface ModelSession {
  readonly user: string;
  readonly processId: number;
  query(sql: string, values: readonly unknown[]): readonly Row[] | Promise<readonly Row[]>;
  readonly inTransaction: () => boolean;
  /** Rolls back, lets go of its locks. */
  end(): void;
  readonly isOpen: () => boolean;
}

interface Backend {
  readonly user: string;
  readonly processId: number;
  end(): void;
}

/** An advisory lock. `take` is false where the session has ended meanwhile. */
interface Lock {
  holder: Backend;
  readonly waiting: { readonly backend: Backend; take(): boolean }[];
}

/**
 * PostgreSQL's roles in memory: logins, passwords as SCRAM verifiers, memberships, comments, transactions, advisory locks and
 * sessions. It knows the statements that Keyturn sends and no others. test/faults/conformance runs the same statements on a real server.
 */
export class PostgresModel {
  readonly roles = new Map<string, ModelRole>();
  /** Told of each role that a committed statement changed. */
  onChange: (role: string) => void = () => undefined;
  /** Whether there is no connection left. */
  isFull: () => boolean = () => false;
  /** Whether a policy, passwordcheck for instance, refuses each new password. */
  refusesPasswords: () => boolean = () => false;
  /** A statement that the model doesn't know. */
  unknown: string | undefined;
  readonly #sessions = new Set<Backend>();
  readonly #locks = new Map<string, Lock>();
  #processes = 0;

  get sessions(): number {
    return this.#sessions.size;
  }

  create(name: string, role: Partial<ModelRole>): void {
    this.roles.set(name, { ...newRole, ...role });
  }

  /** Whether the server takes the login, as libpq's SCRAM exchange would find out. */
  accepts(user: string, password: string): boolean {
    const role = this.roles.get(user);
    return role?.login === true && role.verifier !== undefined && fits(password, role.verifier);
  }

  /** Whether the login works as an agent's: in its group's role and with the group's settings, or as the group itself. */
  worksAs(user: string, password: string, group: string): boolean {
    if (!this.accepts(user, password)) return false;
    if (user === group) return true;
    const role = this.roles.get(user);
    const membership = role?.memberOf.get(group);
    const isTwin = role?.setRole === group && membership?.inherit === true && membership.set;
    return isTwin && hasSettingsOf(role, this.roles.get(group));
  }

  /** @throws ModelSqlError as the server does. */
  logIn(user: string, password: string): ModelSession {
    // Before it looks at who it is.
    if (this.isFull()) throw new ModelSqlError('53300');
    const role = this.roles.get(user);
    // The server tells a login that is locked only to whoever knows its password; without a password nobody does.
    if (!role || role.verifier === undefined || !fits(password, role.verifier))
      throw new ModelSqlError('28P01');
    if (!role.login) throw new ModelSqlError('28000');
    // A role that the login may not set is passed over, with a warning.
    const mayBe = role.setRole !== undefined && role.memberOf.get(role.setRole)?.set === true;
    return this.#open(user, mayBe ? role.setRole : undefined);
  }

  #open(user: string, setRole: string | undefined): ModelSession {
    let open = true;
    let changes: Changes | undefined;
    let failed = false;
    let currentRole = setRole ?? user;
    const held = new Set<string>();
    const letGo = () => {
      for (const key of held) this.#release(key);
      held.clear();
    };
    const end = () => {
      open = false;
      changes = undefined;
      letGo();
      this.#sessions.delete(backend);
    };
    this.#processes += 1;
    const backend = { user, processId: this.#processes, end };
    this.#sessions.add(backend);
    const role = (name: string) => (changes?.has(name) ? changes.get(name) : this.roles.get(name));
    const put = (name: string, next: ModelRole) => {
      if (changes) changes.set(name, next);
      else this.#set(name, next);
    };
    const known = (name: string): ModelRole => {
      const found = role(name);
      if (!found) throw new ModelSqlError('42704');
      return found;
    };
    const control = (sql: string): readonly Row[] | undefined => {
      if (sql === 'BEGIN') {
        changes ??= new Map();
        failed = false;
      } else if (sql === 'COMMIT') {
        // A transaction that failed commits nothing.
        if (changes && !failed) {
          for (const [name, next] of changes) {
            this.#set(name, next);
          }
        }
        changes = undefined;
        letGo();
      } else if (sql === 'ROLLBACK') {
        changes = undefined;
        letGo();
      } else return undefined;
      return [];
    };
    /** What changes a role, by the statement. */
    const changesOf: readonly [RegExp, (name: string, ...words: [string, string, string]) => void][] = [
      [
        /^CREATE ROLE ("[^"]+") LOGIN INHERIT PASSWORD '([^']+)'$/,
        (name, verifier) => {
          if (role(name)) throw new ModelSqlError('42710');
          put(name, { ...newRole, login: true, verifier });
        },
      ],
      [
        /^ALTER ROLE ("[^"]+") LOGIN INHERIT PASSWORD '([^']+)'$/,
        (name, verifier) => put(name, { ...known(name), login: true, inherit: true, verifier }),
      ],
      [
        /^ALTER ROLE ("[^"]+") PASSWORD '([^']+)'$/,
        (name, verifier) => put(name, { ...known(name), verifier }),
      ],
      [
        /^ALTER ROLE ("[^"]+") NOLOGIN PASSWORD NULL$/,
        (name) => put(name, { ...known(name), login: false, verifier: undefined }),
      ],
      [
        /^ALTER ROLE ("[^"]+") SET role = '([^']+)'$/,
        (name, setRole) => put(name, { ...known(name), setRole }),
      ],
      [
        /^ALTER ROLE ("[^"]+") CONNECTION LIMIT (-?\d+) VALID UNTIL '([^']+)'$/,
        (name, limit, validUntil) =>
          put(name, { ...known(name), connectionLimit: Number(limit), validUntil }),
      ],
      [
        /^ALTER ROLE ("[^"]+") SET ("[^"]+") TO (.+)$/,
        (name, setting, value) => put(name, withSetting(known(name), null, setting, value)),
      ],
      [
        /^ALTER ROLE ("[^"]+") RESET ("[^"]+")$/,
        (name, setting) => put(name, withSetting(known(name), null, setting)),
      ],
      [
        /^ALTER ROLE ("[^"]+") IN DATABASE ("[^"]+") SET ("[^"]+") TO (.+)$/,
        (name, database, setting, value) =>
          put(name, withSetting(known(name), unquoted(database), setting, value)),
      ],
      [
        /^ALTER ROLE ("[^"]+") IN DATABASE ("[^"]+") RESET ("[^"]+")$/,
        (name, database, setting) => put(name, withSetting(known(name), unquoted(database), setting)),
      ],
      [
        /^GRANT ("[^"]+") TO ("[^"]+") WITH INHERIT TRUE, SET TRUE$/,
        (group, quoted) => {
          const name = unquoted(quoted);
          known(group);
          const member = known(name);
          const memberOf = new Map(member.memberOf).set(group, { inherit: true, set: true });
          put(name, { ...member, memberOf });
        },
      ],
      [/^COMMENT ON ROLE ("[^"]+") IS '([^']+)'$/, (name, comment) => put(name, { ...known(name), comment })],
    ];
    const statement = (sql: string, values: readonly unknown[]): readonly Row[] | Promise<readonly Row[]> => {
      const text = (index: number) => String(values[index]);
      if (sql === 'SELECT 1') return [{ '?column?': 1 }];
      if (sql.includes('session_user::text AS login')) return [{ role: currentRole, login: user }];
      if (sql.startsWith('SELECT pg_has_role(session_user')) {
        const group = unquoted(text(0));
        return [{ inherits: role(group) ? inherits(role(user), group) : null }];
      }
      if (sql.startsWith('SELECT rolcanlogin')) {
        const one = role(text(0));
        return one ? [{ rolcanlogin: one.login, comment: one.comment ?? null }] : [];
      }
      if (sql.startsWith('SELECT r.rolname::text AS login, r.rolconnlimit')) {
        const logins = z.array(z.string()).parse(values[0]);
        return logins.flatMap((login) => settingsRows(login, role(login)));
      }
      if (sql.startsWith('SELECT rolname::text AS name')) {
        return [...this.roles].flatMap(([name, one]) =>
          one.login ? { name, comment: one.comment ?? null } : [],
        );
      }
      if (sql.startsWith('SELECT EXISTS (SELECT FROM pg_auth_members')) {
        return [{ is_member: role(unquoted(text(0)))?.memberOf.has(unquoted(text(1))) ?? false }];
      }
      if (sql.startsWith('SELECT pg_advisory_xact_lock')) {
        const row = [{ pg_advisory_xact_lock: '' }];
        const taken = this.#lock(text(0), backend, held, () => open);
        // Without BEGIN the statement is a transaction of its own.
        const answer = () => {
          if (!changes) letGo();
          return row;
        };
        return taken ? taken.then(answer) : answer();
      }
      if (sql.includes('FROM pg_control_system()'))
        return [{ replica: false, system: '7000000000000000001' }];
      if (sql.startsWith('SELECT has_database_privilege')) return [{ lost: false }];
      if (sql.includes('SELECT pg_terminate_backend(')) {
        const theirs = sql.includes('pg_blocking_pids($1)')
          ? this.#blockersOf(Number(values[0])).filter((one) => one.user !== user)
          : [...this.#sessions].filter((one) => one.user === text(0));
        for (const one of theirs) one.end();
        return theirs.map(() => ({ pg_terminate_backend: true }));
      }
      if (sql === 'SET ROLE NONE') {
        currentRole = user;
        return [];
      }
      for (const [pattern, change] of changesOf) {
        const [, first, second = '', third = '', fourth = ''] = pattern.exec(sql) ?? [];
        if (first === undefined) continue;
        if (this.refusesPasswords() && sql.includes(" PASSWORD '")) throw new ModelSqlError('22023');
        change(unquoted(first), second, third, fourth);
        return [];
      }
      this.unknown = sql.slice(0, 80);
      throw new UnknownStatementError(`The model of PostgreSQL doesn't know: ${this.unknown}`);
    };
    return {
      user,
      processId: backend.processId,
      isOpen: () => open,
      inTransaction: () => changes !== undefined,
      end,
      query(sql, values) {
        if (!open) throw new ModelSqlError('57P01');
        const done = control(sql);
        if (done) return done;
        if (failed && changes) throw new ModelSqlError('25P02');
        try {
          return statement(sql, values);
        } catch (error) {
          failed = changes !== undefined;
          throw error;
        }
      },
    };
  }

  #set(name: string, role: ModelRole | undefined): void {
    if (role) this.roles.set(name, role);
    else this.roles.delete(name);
    this.onChange(name);
  }

  #lock(key: string, backend: Backend, held: Set<string>, isOpen: () => boolean): Promise<void> | undefined {
    const lock = this.#locks.get(key);
    if (!lock) {
      this.#locks.set(key, { holder: backend, waiting: [] });
      held.add(key);
      return undefined;
    }
    if (lock.holder === backend) return undefined;
    return new Promise((resolve) => {
      const take = () => {
        if (!isOpen()) return false;
        lock.holder = backend;
        held.add(key);
        resolve();
        return true;
      };
      lock.waiting.push({ backend, take });
    });
  }

  /** Whoever waited longest, and still waits, has it next. */
  #release(key: string): void {
    const lock = this.#locks.get(key);
    for (let next = lock?.waiting.shift(); next; next = lock?.waiting.shift()) if (next.take()) return;
    this.#locks.delete(key);
  }

  /** Who has the lock that a session waits for, or will have it before. */
  #blockersOf(processId: number): readonly Backend[] {
    for (const { holder, waiting } of this.#locks.values()) {
      const queue = waiting.map(({ backend }) => backend);
      const place = queue.findIndex((backend) => backend.processId === processId);
      if (place !== -1) return [holder, ...queue.slice(0, place)].filter((one) => this.#sessions.has(one));
    }
    return [];
  }
}

function inherits(role: ModelRole | undefined, group: string): boolean {
  return role?.memberOf.get(group)?.inherit === true;
}

/** In the simulation a group's settings are those that its first login began with. */
function hasSettingsOf(twin: ModelRole, group: ModelRole | undefined): boolean {
  const all = ({ settings, connectionLimit, validUntil }: ModelRole) =>
    JSON.stringify([
      settings.map(({ database, name, value }) => `${database} ${name}=${value}`).toSorted(),
      connectionLimit,
      validUntil,
    ]);
  return group !== undefined && all(twin) === all(group);
}

/** One row for each database that there are settings for, and one of a role that has none. */
function settingsRows(login: string, role: ModelRole | undefined): readonly Row[] {
  if (!role) return [];
  const own = role.setRole === undefined ? [] : [{ database: null, name: 'role', value: role.setRole }];
  const byDatabase = Map.groupBy([...own, ...role.settings], ({ database }) => database);
  const row = { login, connection_limit: role.connectionLimit, valid_until: role.validUntil };
  if (byDatabase.size === 0) return [{ ...row, database: null, settings: null }];
  return [...byDatabase].map(([database, settings]) => ({
    ...row,
    database,
    settings: settings.map(({ name, value }) => `${name}=${value}`),
  }));
}

/** The role with a setting as the statement gives it, a list of literals; without it where there is no value. */
function withSetting(role: ModelRole, database: string | null, quoted: string, literals?: string): ModelRole {
  const name = unquoted(quoted);
  const others = role.settings.filter((each) => each.database !== database || each.name !== name);
  if (literals === undefined) return { ...role, settings: others };
  const texts = [...literals.matchAll(/'((?:[^']|'')*)'/g)].map(([, text = '']) =>
    text.replaceAll("''", "'"),
  );
  // A list of names is stored with those quoted that need it.
  const stored = name === 'search_path' ? texts.map(asName) : texts;
  return { ...role, settings: [...others, { database, name, value: stored.join(', ') }] };
}

const asName = (text: string): string =>
  /^[a-z_][a-z0-9_]*$/.test(text) ? text : `"${text.replaceAll('"', '""')}"`;

function unquoted(name: string | undefined): string {
  return (name ?? '').replace(/^"|"$/g, '').replaceAll('""', '"');
}

/** What was found out of a password and a verifier. An oracle asks the same again and again. */
const known = new Map<string, boolean>();

function fits(password: string, verifier: string): boolean {
  const key = `${verifier} ${password}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const found = verifies(password, verifier);
  if (known.size > 20_000) known.clear();
  known.set(key, found);
  return found;
}

function verifies(password: string, verifier: string): boolean {
  const salt = /^SCRAM-SHA-256\$\d+:([^$]+)\$/.exec(verifier)?.[1];
  return (
    salt !== undefined && scramVerifier(SecretValue.of(password), Buffer.from(salt, 'base64')) === verifier
  );
}
