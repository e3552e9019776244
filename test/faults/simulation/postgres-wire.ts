import pg from 'pg';
import { currentInvocation, outside, type Surroundings } from './invocation.ts';
import { type ModelSession, ModelSqlError, type PostgresModel } from './postgres-model.ts';

/** A server that a client may find up, down, or silent. */
export interface ModelServer {
  readonly model: PostgresModel;
  readonly state: () => 'up' | 'down' | 'hanging' | 'full';
}

const lost = (code: string) => Object.assign(new Error('the connection broke'), { code });
const timedOut = () => new Error('timeout expired');

/** Keep-alive of Linux: for so long does a server not notice that its client has vanished. */
const keepAliveMs = 7_200_000;

/**
 * Puts models of servers in the place of the network, under pg's own client: connect, query and end. What a client that
 * vanishes leaves behind is left behind here too: its session, and its transaction with the locks.
 */
export function connectModels(
  world: Surroundings,
  serverOf: (host: string) => ModelServer | undefined,
): void {
  const { time } = world;
  const sessions = new WeakMap<object, ModelSession>();

  const vanish = (session: ModelSession, idleTimeoutMs: number) => {
    // In a transaction the server waits for the next statement; a session at rest does no harm.
    if (session.inTransaction()) time.after(idleTimeoutMs, () => session.end());
    else session.end();
  };
  const option = (client: pg.Client, name: string): number => {
    const parameters: unknown = Reflect.get(client, 'connectionParameters');
    const value = typeof parameters === 'object' && parameters ? Reflect.get(parameters, name) : undefined;
    return typeof value === 'number' && value > 0 ? value : 0;
  };

  Object.assign(pg.Client.prototype, {
    async connect(this: pg.Client): Promise<void> {
      const { host, user = '' } = this;
      const given: unknown = Reflect.get(this, 'password');
      const password: unknown = typeof given === 'function' ? await given() : given;
      const server = serverOf(host);
      if (!server) throw lost('ENOTFOUND');
      const me = currentInvocation();
      if (me && server.state() !== 'up') world.troubles.note(me.name);
      if (server.state() === 'hanging') {
        await time.sleep(5_000);
        throw timedOut();
      }
      let opened: ModelSession | undefined;
      const session = await outside(world, {
        operation: 'postgres:connect',
        refusal: () => lost('ECONNREFUSED'),
        loss: () => {
          opened?.end();
          return lost('ECONNRESET');
        },
        effect: () => {
          // Its outage may have begun since the call was sent.
          if (me && server.state() !== 'up') world.troubles.note(me.name);
          // A server that is full answers for itself.
          if (server.state() === 'down' || server.state() === 'hanging') throw lost('ECONNREFUSED');
          const fresh = server.model.logIn(user, String(password));
          opened = fresh;
          const idle = option(this, 'idle_in_transaction_session_timeout') || keepAliveMs;
          const closesAtOnce = me?.random.chance(0.5) ?? true;
          me?.atDeath.push(() => (closesAtOnce ? fresh.end() : vanish(fresh, idle)));
          return fresh;
        },
      });
      sessions.set(this, session);
      Reflect.set(this, 'processID', session.processId);
    },
    async query(this: pg.Client, sql: string, values: readonly unknown[] = []): Promise<{ rows: unknown }> {
      const session = sessions.get(this);
      const server = serverOf(this.host);
      if (!session || !server) throw lost('ECONNRESET');
      const broken = (code: string) => {
        session.end();
        return lost(code);
      };
      const rows = await outside(world, {
        operation: `postgres:${sql.split(' ', 2).join(' ')}`,
        refusal: () => broken('ECONNRESET'),
        loss: () => broken('ECONNRESET'),
        effect: async () => {
          const me = currentInvocation();
          if (me && server.state() !== 'up') world.troubles.note(me.name);
          if (server.state() === 'down') throw broken('ECONNRESET');
          if (server.state() === 'hanging') {
            await time.sleep(9_000);
            throw new Error('Query read timeout');
          }
          if (!session.isOpen()) throw lost('57P01');
          if (me && server.model.refusesPasswords()) world.troubles.note(me.name);
          const answer = session.query(sql, values);
          if (!(answer instanceof Promise)) return answer;
          let waits = true;
          const cancelled = new Promise<never>((_, reject) => {
            time.after(8_000, () => {
              if (waits) reject(new ModelSqlError('57014'));
            });
          });
          try {
            return await Promise.race([answer, cancelled]);
          } catch (error) {
            // The lock may come to the session after all; ending it is how a client that timed out lets go.
            session.end();
            throw error;
          } finally {
            waits = false;
          }
        },
      });
      return { rows };
    },
    async end(this: pg.Client): Promise<void> {
      sessions.get(this)?.end();
    },
  });
}
