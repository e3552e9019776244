import pg from 'pg';
import type { Connection } from '../../../shared/rotators/postgres/connection.ts';
import { identifier, literal } from '../../../shared/rotators/postgres/roles.ts';
import type { ModelSession, PostgresModel } from '../simulation/postgres-model.ts';

export interface Session extends Connection {
  readonly processId: number;
  end(): Promise<void>;
}

/** What a model and a real server have in common: roles to begin with, and logins. */
export interface Server {
  /** A role whose password is the verifier's. */
  create(
    name: string,
    role: { readonly verifier: string; readonly login: boolean; readonly setRole?: string },
  ): Promise<void>;
  logIn(user: string, password: string): Promise<Session>;
  /** Takes every connection that is left, until it is disposed of. */
  fill(): Promise<AsyncDisposable>;
  /** From now on a session's server has a policy for passwords, until it is disposed of. */
  withPolicy(session: Session): Promise<Disposable>;
}

export function modelServer(model: PostgresModel): Server {
  const sessionOf = (session: ModelSession): Session => ({
    processId: session.processId,
    query: async (sql, values = []) => session.query(sql, values),
    end: async () => session.end(),
  });
  return {
    create: async (name, role) => model.create(name, role),
    logIn: async (user, password) => sessionOf(model.logIn(user, password)),
    async fill() {
      model.isFull = () => true;
      return {
        async [Symbol.asyncDispose]() {
          model.isFull = () => false;
        },
      };
    },
    async withPolicy() {
      model.refusesPasswords = () => true;
      return {
        [Symbol.dispose]() {
          model.refusesPasswords = () => false;
        },
      };
    },
  };
}

export function realServer(port: number, asAdmin: (sql: string) => Promise<unknown>): Server {
  const server: Server = {
    async create(name, { verifier, login, setRole }) {
      const role = identifier(name);
      await asAdmin(`CREATE ROLE ${role} ${login ? 'LOGIN' : 'NOLOGIN'} PASSWORD ${literal(verifier)}`);
      if (setRole !== undefined) await asAdmin(`ALTER ROLE ${role} SET role = ${literal(setRole)}`);
    },
    async logIn(user, password) {
      const client = new pg.Client({ host: '127.0.0.1', port, database: 'postgres', user, password });
      // A session that is ended by another is told of by its next query.
      client.on('error', () => undefined);
      await client.connect();
      return {
        processId: Number(Reflect.get(client, 'processID')),
        query: async (sql, values) =>
          (await client.query<Record<string, unknown>>(sql, [...(values ?? [])])).rows,
        end: () => client.end(),
      };
    },
    async fill() {
      const taken: Session[] = [];
      const take = async () => void taken.push(await server.logIn('admin', 'admin'));
      let refusal = await refusalOf(take());
      while (refusal === undefined) refusal = await refusalOf(take());
      if (refusal !== '53300') throw new Error(`Filling it ended with ${refusal}`);
      return {
        async [Symbol.asyncDispose]() {
          await Promise.all(taken.map((session) => session.end()));
        },
      };
    },
    async withPolicy(session) {
      // Of a verifier it can tell one password: the login's own name.
      await session.query("LOAD 'passwordcheck'");
      return { [Symbol.dispose]: () => undefined };
    },
  };
  return server;
}

/** The SQLSTATE that something is refused with; undefined where it is not. */
export async function refusalOf(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) =>
      error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'no code',
  );
}
