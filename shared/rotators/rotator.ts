import type { SecretJson } from '../credential/secret-json.ts';

/** `dual-user`: two logins alternate, and an agent never fails. `single-user`: for a login that can't have a twin. */
export type Strategy = 'dual-user' | 'single-user';

/** A version of a secret, as its target notes it. When it was made orders it among the versions of the secret. */
export interface HeldVersion {
  readonly secretArn: string;
  readonly versionId: string;
  readonly createdAt: Date;
}

/** What a rotator knows when it makes the target accept a pending credential. */
export interface Application {
  readonly pending: SecretJson;
  readonly current: SecretJson;
  /** When the version was made that `current` belongs to. */
  readonly currentCreatedAt: Date;
  /** The login that may make others; undefined where the credential has no `masterarn`. */
  readonly admin: SecretJson | undefined;
  /** What the login may still hold where `current` is refused, the likeliest first. Single-user only; read when needed. */
  readonly earlier: () => Promise<readonly SecretJson[]>;
  /** The version that `pending` belongs to. What a later one has set it leaves as it is. */
  readonly version: HeldVersion;
  /** To be asked before a login is changed that holds a version made after AWSCURRENT's. @throws where it is AWSCURRENT's by now. */
  readonly ensureAbandoned: (versionId: string) => Promise<void>;
}

export interface Revocation {
  /** The secret that held the credential. What its target has noted as another secret's is not revoked. */
  readonly secretArn: string;
  readonly superseded: SecretJson;
  /** The credentials that must go on working: AWSCURRENT's, and AWSPENDING's where there is one. */
  readonly kept: readonly SecretJson[];
  readonly admin: SecretJson;
  /** Every version that the labels, as just read, call superseded. */
  readonly supersededVersionIds: ReadonlySet<string>;
  /** When AWSCURRENT's version was made. */
  readonly currentCreatedAt: Date;
  /**
   * To be asked before a login is refused that holds one of those versions, made after AWSCURRENT's: its rotation was given up,
   * and may move AWSCURRENT even so. False where it has.
   */
  readonly isAbandoned: (versionId: string) => Promise<boolean>;
  /** This credential in those versions; read when needed. */
  readonly earlier: () => Promise<readonly SecretJson[]>;
}

/**
 * - `revoked`: the target refuses the credential from now on, or already did.
 * - `in use`: its login has another password by now, and belongs to a version that is in use.
 */
export type Revoked = 'revoked' | 'in use';

/** A login that a server takes. */
export interface TargetLogin {
  readonly server: string;
  readonly name: string;
  /** What it and its twin have in common. */
  readonly group: string;
  /** The version that its password is of; undefined for a login that no rotation has touched. */
  readonly versionId: string | undefined;
}

/**
 * Knows one kind of target. Functions of plain data: nothing is remembered between two calls, and each may be repeated after
 * it was killed anywhere.
 */
export interface Rotator {
  /** The credential that would follow `current`. Pure but for the random password. */
  stage(current: SecretJson, strategy: Strategy): SecretJson;
  /** Makes the target accept `pending`. Leaves `current` as it is, where the strategy has two users. */
  apply(application: Application): Promise<void>;
  /** Uses `pending` as its agent would, grants included. */
  verify(pending: SecretJson): Promise<void>;
  revoke(revocation: Revocation): Promise<Revoked>;
  /** Every login that the admin's server takes, in one question. */
  logins(admin: SecretJson): Promise<readonly TargetLogin[]>;
}
