import { InvalidSecretError } from '../../credential/errors.ts';
import { generatePassword } from '../../credential/password.ts';
import type { SecretJson } from '../../credential/secret-json.ts';
import { SecretValue } from '../../credential/secret-value.ts';
import { ConfusedDeputyError, CredentialRefusedError, GrantsMissingError } from '../errors.ts';
import type { Rotator, Strategy } from '../rotator.ts';
import { applyDualUser } from './apply-dual-user.ts';
import { applySingleUser } from './apply-single-user.ts';
import {
  type AdminLogin,
  asAdmin,
  onServerOf,
  type PostgresLogin,
  postgresLogin,
  sameServer,
} from './credential.ts';
import { loginsOn } from './logins.ts';
import { alternateOf } from './names.ts';
import { replicasOf } from './replicas.ts';
import { revokeLogin } from './revoke.ts';
import { verifyLogin } from './verify.ts';

/** Rotates logins of PostgreSQL 16 and later, Aurora included. */
export const postgres: Rotator = {
  stage(current, strategy) {
    const { username } = postgresLogin(current);
    const next = current.with({
      username: strategy === 'dual-user' ? alternateOf(username) : username,
      password: SecretValue.of(generatePassword()),
    });
    postgresLogin(next); // the twin's name is two bytes longer
    return next;
  },

  async apply(application) {
    const pending = postgresLogin(application.pending);
    const current = postgresLogin(application.current);
    const strategy = strategyOf(pending, current);
    if (await works(pending, strategy)) return;
    if (strategy === 'single-user') {
      await applySingleUser(pending, current, async () => (await application.earlier()).map(postgresLogin));
      return;
    }
    if (!application.admin) throw new InvalidSecretError('masterarn', 'the ARN of the admin secret');
    await applyDualUser({
      ...application,
      pending,
      current,
      admin: adminLogin(application.admin, current),
    });
  },

  async verify(credential) {
    await verifyLogin(postgresLogin(credential));
  },

  async revoke({ superseded, kept, admin, earlier, ...facts }) {
    const login = postgresLogin(superseded);
    const inUse = kept.map(postgresLogin);
    // A rotation that runs holds its lock in the database of the login in use, whose name may be another by now.
    const { dbname } = inUse.find((one) => sameServer(one, login)) ?? login;
    const ofAdmin = adminLogin(admin, { ...login, dbname });
    return revokeLogin({
      ...facts,
      superseded: login,
      kept: inUse,
      admin: ofAdmin,
      replicas: () => replicasOf(admin, ofAdmin),
      earlier: async () => (await earlier()).flatMap(loginIn).filter((one) => sameServer(one, login)),
    });
  },

  async logins(admin) {
    return loginsOn(asAdmin(postgresLogin(admin.with({ engine: 'postgres' }))));
  },
};

/** None where an old version holds something else, which no rotation has read. */
function loginIn(credential: SecretJson): readonly PostgresLogin[] {
  try {
    return [postgresLogin(credential)];
  } catch (error) {
    if (error instanceof InvalidSecretError) return [];
    throw error;
  }
}

/** Which strategy made the pending credential, judged from the credential itself; anything else was put by another hand. */
function strategyOf(pending: PostgresLogin, current: PostgresLogin): Strategy {
  if (!sameServer(pending, current) || pending.dbname !== current.dbname) {
    throw new ConfusedDeputyError('AWSPENDING names another server or database than AWSCURRENT');
  }
  if (pending.username === current.username) return 'single-user';
  if (pending.username === alternateOf(current.username)) return 'dual-user';
  throw new ConfusedDeputyError('AWSPENDING names neither the login of AWSCURRENT nor its twin');
}

async function works(login: PostgresLogin, strategy: Strategy): Promise<boolean> {
  try {
    await verifyLogin(login, strategy);
    return true;
  } catch (error) {
    if (error instanceof CredentialRefusedError || error instanceof GrantsMissingError) return false;
    throw error;
  }
}

function adminLogin(admin: SecretJson, agent: PostgresLogin): AdminLogin {
  return asAdmin(postgresLogin(onServerOf(admin, agent)), admin.reveal().dbname);
}
