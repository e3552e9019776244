import { setTimeout } from 'node:timers/promises';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod';
import { AdminPrivilegeError } from '../../rotators/errors.ts';
import { despiteConcurrentUpdates } from '../../rotators/postgres/concurrent-update.ts';
import { type Connection, connected, inTransaction } from '../../rotators/postgres/connection.ts';
import type { AdminLogin } from '../../rotators/postgres/credential.ts';
import { identifier, lacksPrivilege, lockGroup } from '../../rotators/postgres/roles.ts';
import type { Change } from '../change.ts';
import type { Declaration } from '../declaration.ts';
import { serverAdminOf } from './admin.ts';
import { marking } from './marks.ts';
import { assertNoOthers, type OwnRoles, ownRoles } from './own-roles.ts';

interface LoginsEndParts {
  readonly secretsManager: SecretsManagerClient;
}

/**
 * Ends an agent's access to PostgreSQL: its logins are refused, and the sessions that they have are ended, since NOLOGIN leaves
 * those open. Where a role of the agent's names is somebody else's, it is left, and the change fails when the others are cut.
 * Repeated, it ends what a killed run left.
 *
 * @throws AlternateTakenError, AdminPrivilegeError, and what `serverAdminOf` and connecting throw.
 */
export async function planLoginsEnd(
  declaration: Declaration,
  { secretsManager }: LoginsEndParts,
): Promise<readonly Change[]> {
  const { agentId, postgres: declared } = declaration;
  if (!declared) return [];
  const admin = await serverAdminOf(declared, secretsManager);
  const look = () =>
    connected(admin, async (connection) => {
      const roles = await ownRoles(connection, declaration, secretsManager);
      return { roles, open: await openOf(connection, roles.own) };
    });
  const { roles, open } = await look();
  if (open.length === 0) {
    assertNoOthers(roles);
    return [];
  }
  return [
    {
      system: 'PostgreSQL',
      resource: `logins of ${agentId} on ${declared.host}:${declared.port}`,
      action: 'delete',
      diff: [
        ...open.filter(({ canlogin }) => canlogin).map(({ login }) => `- login ${login}`),
        ...open
          .filter(({ sessions }) => sessions > 0)
          .map(({ login, sessions }) => `- ${sessions} open session(s) of ${login}`),
        ...roles.others.map((other) => `  role ${other} is left: nothing shows that it is this agent's`),
      ],
      async apply() {
        const { roles: found } = await look();
        await cut(admin, agentId, found);
        assertNoOthers(found);
      },
    },
  ];
}

/**
 * A session of the agent's may hold what refusing its logins waits for: the row of its own role, or a lock of Keyturn's. So sessions
 * are ended all the time until the logins are refused. Who comes in between and asks for the same waits behind us.
 */
async function cut(admin: AdminLogin, agentId: string, roles: OwnRoles): Promise<void> {
  await connected(admin, async (connection) => {
    const over = new AbortController();
    const outcomes = await Promise.allSettled([
      refuseLogins(admin, agentId, roles).finally(() => over.abort()),
      endSessionsUntil(over.signal, connection, roles.own),
    ]);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    await endSessions(connection, roles.own, endsWithinMs);
    const [left] = await openOf(connection, roles.own);
    if (left) throw new AdminPrivilegeError(`The admin login can't end the access of ${left.login}`);
  });
}

async function refuseLogins(admin: AdminLogin, agentId: string, roles: OwnRoles): Promise<void> {
  await despiteConcurrentUpdates(() =>
    connected(admin, (connection) =>
      inTransaction(connection, async () => {
        await lockGroup(connection, agentId);
        for (const { login, canlogin } of await openOf(connection, roles.own)) {
          if (canlogin) await connection.query(`ALTER ROLE ${identifier(login)} NOLOGIN PASSWORD NULL`);
        }
        for (const { name, comment } of roles.unmarked) {
          await connection.query(marking(name, agentId, comment));
        }
      }),
    ),
  );
}

const pauseMs = 50;

async function endSessionsUntil(
  over: AbortSignal,
  connection: Connection,
  logins: readonly string[],
): Promise<void> {
  while (!over.aborted) {
    await endSessions(connection, logins, 0);
    await setTimeout(pauseMs, undefined, { signal: over }).catch(() => undefined);
  }
}

/** How long the end of a session is waited for. */
const endsWithinMs = 5_000;

async function endSessions(
  connection: Connection,
  logins: readonly string[],
  withinMs: number,
): Promise<void> {
  try {
    await connection.query(
      'SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE usename = ANY($1)',
      [logins, withinMs],
    );
  } catch (error) {
    if (!lacksPrivilege(error)) throw error;
    throw new AdminPrivilegeError(
      `The admin login may not end the sessions of ${logins.join(', ')}: grant it pg_signal_backend`,
    );
  }
}

const open = z.object({ login: z.string(), sessions: z.coerce.number(), canlogin: z.boolean() });

async function openOf(
  connection: Connection,
  names: readonly string[],
): Promise<readonly z.output<typeof open>[]> {
  return z.array(open).parse(
    await connection.query(
      `SELECT login, canlogin, sessions FROM (
           SELECT rolname AS login, rolcanlogin AS canlogin,
               (SELECT count(*) FROM pg_stat_activity s WHERE s.usesysid = r.oid) AS sessions
             FROM pg_roles r WHERE rolname = ANY($1)) logins
         WHERE canlogin OR sessions > 0 ORDER BY 1`,
      [names],
    ),
  );
}
