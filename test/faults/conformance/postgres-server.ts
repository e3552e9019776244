import pg from 'pg';
import type { Connection } from '../../../shared/rotators/postgres/connection.ts';
import { identifier, literal } from '../../../shared/rotators/postgres/roles.ts';
import type { ModelSession, PostgresModel } from '../simulation/postgres-model.ts';

export interface Session extends Connection {
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
}

export function modelServer(model: PostgresModel): Server {
  const sessionOf = (session: ModelSession): Session => ({
    query: async (sql, values = []) => session.query(sql, values),
    end: async () => session.end(),
  });
  return {
    create: async (name, role) => model.create(name, role),
    logIn: async (user, password) => sessionOf(model.logIn(user, password)),
  };
}

export function realServer(port: number, asAdmin: (sql: string) => Promise<unknown>): Server {
  return {
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
        query: async (sql, values) =>
          (await client.query<Record<string, unknown>>(sql, [...(values ?? [])])).rows,
        end: () => client.end(),
      };
    },
  };
}

/** The SQLSTATE that something is refused with; undefined where it is not. */
export async function refusalOf(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) =>
      error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'no code',
  );
}
