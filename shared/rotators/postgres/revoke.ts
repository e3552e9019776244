import { InvalidSecretError } from '../../credential/errors.ts';
import { ConfusedDeputyError } from '../errors.ts';
import type { Revocation, Revoked } from '../rotator.ts';
import { despiteConcurrentUpdates } from './concurrent-update.ts';
import { type Connection, connected, inTransaction } from './connection.ts';
import { type AdminLogin, type PostgresLogin, sameServer } from './credential.ts';
import { groupOf } from './names.ts';
import { endSessionsOn } from './replicas.ts';
import { identifier, isNewer, lockGroup, type Role, roleOf, secretMark } from './roles.ts';

interface LoginRevocation
  extends Pick<Revocation, 'secretArn' | 'supersededVersionIds' | 'currentCreatedAt' | 'isAbandoned'> {
  readonly superseded: PostgresLogin;
  readonly kept: readonly PostgresLogin[];
  readonly admin: AdminLogin;
  /** The admin's login on the replicas of its server; read once the server itself refuses the login. */
  readonly replicas: () => readonly AdminLogin[];
  /** The logins of all superseded versions; read when needed. */
  readonly earlier: () => Promise<readonly PostgresLogin[]>;
}

/**
 * Makes the server refuse a superseded login, and ends the sessions that it still has: NOLOGIN alone leaves them open.
 *
 * An adopted login is its twins' group (ADR 2). Where its own revocation was missed until a twin is superseded, it goes with that
 * one: it was superseded before, so its grace period has ended too.
 *
 * A server ends its own sessions only: replicas are asked as well, the one among them that the login is of.
 *
 * A repeat finds the login refused already, and ends what sessions a killed run left.
 *
 * @throws ConfusedDeputyError where the login isn't the secret's, InvalidSecretError where the login's own server is a replica that the admin secret doesn't name, TargetUnreachableError where
 * one that it names doesn't answer, and what else connecting throws. The server refuses the login by then.
 */
export async function revokeLogin(revocation: LoginRevocation): Promise<Revoked> {
  const { superseded, admin } = revocation;
  const { username } = superseded;
  if (isKept(username, revocation)) return 'in use';
  const refused = await connected(admin, (connection) => refusedOf(connection, username, revocation));
  if (refused.length === 0) return 'in use';
  const replicas = revocation.replicas();
  await endSessionsOn(replicas, refused);
  if (![admin, ...replicas].some((one) => sameServer(one, superseded))) {
    throw new InvalidSecretError('replicas', "a list of hosts in the admin secret, the agent's among them");
  }
  return 'revoked';
}

/** The logins that the server refuses from now on: none where this one is in use. */
async function refusedOf(
  connection: Connection,
  username: string,
  revocation: LoginRevocation,
): Promise<readonly string[]> {
  if ((await refuse(connection, username, revocation)) === 'in use') return [];
  const group = groupOf(username);
  if (group === username || isKept(group, revocation)) return [username];
  const isRefused = await revokeAdopted(connection, group, revocation);
  return isRefused ? [username, group] : [username];
}

/** Whether the group's own login is refused by now. */
async function revokeAdopted(
  connection: Connection,
  group: string,
  revocation: LoginRevocation,
): Promise<boolean> {
  const role = await roleOf(connection, group);
  if (!role) return false;
  if (!role.canLogIn) {
    await endSessions(connection, group);
    return true;
  }
  // A login of this name that the secret never held is somebody else's.
  const isOurs = (await revocation.earlier()).some(({ username }) => username === group);
  return isOurs && (await refuse(connection, group, revocation)) === 'revoked';
}

/**
 * The labels were read before this transaction. A rotation that began since then holds a version that they don't know, and has
 * written it on the role (ADR 3): such a login is left alone. One that was given up had its AWSPENDING taken off, but what was
 * under way of it may move AWSCURRENT to the login even so: that is waited for, and looked at again.
 */
async function refuse(connection: Connection, name: string, revocation: LoginRevocation): Promise<Revoked> {
  const settled = new Set<string>();
  for (;;) {
    const outcome = await despiteConcurrentUpdates(
      () => refuseUnlessHeld(connection, name, revocation, settled),
      // Found superseded by then: only after that is it altered.
      () => endSessions(connection, name),
    );
    if (outcome === 'revoked') await endSessions(connection, name);
    if (typeof outcome === 'string') return outcome;
    if (!(await revocation.isAbandoned(outcome.heldVersionId))) return 'in use';
    settled.add(outcome.heldVersionId);
  }
}

/** Changes nothing, and gives the version that the login holds, where its rotation isn't known to be settled. */
function refuseUnlessHeld(
  connection: Connection,
  name: string,
  revocation: LoginRevocation,
  settled: ReadonlySet<string>,
): Promise<Revoked | { readonly heldVersionId: string }> {
  const { supersededVersionIds, currentCreatedAt } = revocation;
  return inTransaction(connection, async () => {
    await lockGroup(connection, groupOf(name));
    const role = await roleOf(connection, name);
    if (!role) return 'revoked';
    const { versionId } = role;
    if (versionId !== undefined && !supersededVersionIds.has(versionId)) return 'in use';
    await proveOwnership(connection, name, role, revocation);
    if (versionId !== undefined && isNewer(role, currentCreatedAt) && !settled.has(versionId)) {
      return { heldVersionId: versionId };
    }
    await connection.query(`ALTER ROLE ${identifier(name)} NOLOGIN PASSWORD NULL`);
    return 'revoked';
  });
}

/**
 * Whoever may write an agent's secret could name somebody else's login in a version, and have it superseded. Only an admin notes
 * a secret on a role, and only when AWSCURRENT's login had proven to be the agent's. So this login bears the secret's note; or it
 * is of before the first rotation, and a login of the same group does, which took its place.
 *
 * @throws ConfusedDeputyError
 */
async function proveOwnership(
  connection: Connection,
  name: string,
  role: Role,
  { secretArn, superseded, kept }: LoginRevocation,
): Promise<void> {
  const own = secretMark(secretArn);
  if (role.secret === own) return;
  const logins = new Set([superseded, ...kept].map(({ username }) => username));
  for (const login of logins) {
    const isTwin = login !== name && groupOf(login) === groupOf(name);
    if (isTwin && (await roleOf(connection, login))?.secret === own) return;
  }
  throw new ConfusedDeputyError('No rotation of this secret made the superseded login, or its twin');
}

async function endSessions(connection: Connection, name: string): Promise<void> {
  await connection.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [name]);
}

function isKept(name: string, { kept }: LoginRevocation): boolean {
  return kept.some(({ username }) => username === name);
}
