import { z } from 'zod';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import {
  AgentClosedError,
  LoginRefusedError,
  SecretDeniedError,
  SecretNotFoundError,
  SourceUnreachableError,
} from '../errors.ts';
import { notifyListener } from '../listener.ts';
import type { AgentLog } from '../log.ts';
import {
  type Expiring,
  isWorthKeeping,
  type Keeping,
  keepAlive,
  prolong,
  type Timing,
} from './keep-alive.ts';
import type { TokenKeeper, VaultToken } from './token.ts';

/** A login that Vault made for this agent alone, for a time. */
export interface DatabaseCredential {
  readonly username: string;
  readonly password: SecretValue;
  readonly leaseId: string;
  /** As Vault granted it, in seconds. It is renewed, and replaced before it ends. */
  readonly ttlSeconds: number;
}

const issued = z.object({
  lease_id: z.string(),
  lease_duration: z.number(),
  renewable: z.boolean(),
  data: z.object({ username: z.string(), password: z.string() }),
});
const renewal = z.object({ lease_duration: z.number() });

/** A younger login is not replaced on demand, so that a database that refuses everyone isn't flooded with logins. */
const REFRESH_EVERY_MS = 2_000;
/** While Vault is away, those who ask for a login have it asked no sooner than so long after the last failure. */
const AWAY_MS = 5_000;

/** How long Vault lets a login work. */
interface Lease extends Expiring {
  readonly id: string;
}

interface Held {
  readonly credential: DatabaseCredential;
  /** The credential's, which is lent to all who ask. */
  readonly password: SecretValue;
  readonly lease: Lease;
  /** Vault revokes the login with it. */
  readonly token: VaultToken;
  readonly madeAt: number;
}

/**
 * Keeps a dynamic login of one database role: renewed at two thirds of its lease, replaced by another where it can't be
 * renewed any more, and where the token that it hangs on is replaced. The one that was replaced works on until its lease ends.
 */
export class DatabaseLease implements AsyncDisposable {
  readonly #tokens: TokenKeeper;
  readonly #path: string;
  readonly #timing: Timing;
  readonly #log: AgentLog | undefined;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<(credential: DatabaseCredential) => void>();
  /** Those of the logins that may still work: of the one that is held, and of those that it replaced. */
  readonly #open = new Set<Lease>();
  #held: Held | undefined;
  #issuing: Promise<Held> | undefined;
  /** When Vault was last away for a request for another login; undefined once it has answered. */
  #awayAt: number | undefined;
  readonly #keeping = new Set<Promise<void>>();

  constructor(tokens: TokenKeeper, path: string, timing: Timing, log?: AgentLog) {
    this.#tokens = tokens;
    this.#path = path;
    this.#timing = timing;
    this.#log = log;
  }

  async current(): Promise<DatabaseCredential> {
    const held = this.#held;
    if (!held) return this.#another();
    const now = this.#timing.now();
    if (now < Math.min(held.lease.expiresAt, held.token.expiresAt)) return held.credential;
    if (this.#awayAt === undefined || now >= held.lease.expiresAt) return this.#another();
    // One has waited for Vault in vain. Nobody else has to, as long as what is held may stand in.
    if (now - this.#awayAt >= AWAY_MS) this.#another().catch(() => undefined);
    return held.credential;
  }

  /** As `current`, but another login, if the one that is held is two seconds old. While Vault is out of reach it is as `current`. */
  async refresh(): Promise<DatabaseCredential> {
    const now = this.#timing.now();
    const isRecent = (at: number | undefined) => at !== undefined && now - at < REFRESH_EVERY_MS;
    return isRecent(this.#held?.madeAt) || isRecent(this.#awayAt) ? this.current() : this.#another();
  }

  onChange(listener: (credential: DatabaseCredential) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Another login in place of the one that hangs on this token, if one does: Vault revokes them together. */
  async leave(token: VaultToken): Promise<void> {
    this.#endWith(token);
    // What is just being made may hang on it too.
    await this.#issuing?.catch(() => undefined);
    const held = this.#endWith(token);
    if (held) await prolong(this.#keepingOf(held));
  }

  /** Revokes every login that may still work: the database refuses them from here on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#issuing?.catch(() => undefined);
    await Promise.all(this.#keeping);
    this.#held?.password[Symbol.dispose]();
    this.#held = undefined;
    this.#forgetEnded();
    const revoked = [...this.#open].map(({ id }) =>
      this.#tokens.request('PUT', 'sys/leases/revoke', { body: { lease_id: id } }),
    );
    // A lease whose revocation failed ends with its token, or by its time.
    await Promise.allSettled(revoked);
  }

  async #another(): Promise<DatabaseCredential> {
    const held = this.#held;
    try {
      return (await this.#replaced()).credential;
    } catch (error) {
      if (isAway(error) && held && this.#timing.now() < held.lease.expiresAt) return held.credential;
      throw error;
    }
  }

  #replaced(): Promise<Held> {
    this.#issuing ??= this.#issued()
      .catch((error: unknown) => {
        this.#awayAt = isAway(error) ? this.#timing.now() : undefined;
        throw error;
      })
      .finally(() => {
        this.#issuing = undefined;
      });
    return this.#issuing;
  }

  async #issued(): Promise<Held> {
    if (this.#closing.signal.aborted) throw new AgentClosedError('The Vault client is closed');
    const { answer: given, token } = await this.#tokens.answered('GET', this.#path);
    const answer = issued.safeParse(given);
    if (!answer.success)
      throw new SourceUnreachableError(`Vault answered in an unknown shape for ${this.#path}`);
    const { lease_id: leaseId, lease_duration: ttlSeconds, renewable, data } = answer.data;
    const password = SecretValue.of(data.password);
    const credential = Object.freeze({
      username: data.username,
      password: password.lent(),
      leaseId,
      ttlSeconds,
    });
    const madeAt = this.#timing.now();
    const lease = { id: leaseId, renewable, expiresAt: madeAt + ttlSeconds * 1_000 };
    const held = { credential, password, lease, token, madeAt };
    this.#held = held;
    this.#awayAt = undefined;
    this.#forgetEnded();
    this.#open.add(lease);
    for (const listener of this.#listeners) notifyListener(listener, credential);
    const keeping = keepAlive(this.#keepingOf(held)).finally(() => this.#keeping.delete(keeping));
    this.#keeping.add(keeping);
    return held;
  }

  #forgetEnded(): void {
    const now = this.#timing.now();
    for (const lease of this.#open) if (lease.expiresAt <= now) this.#open.delete(lease);
  }

  #keepingOf(held: Held): Keeping {
    return {
      expiring: held.lease,
      timing: this.#timing,
      closing: this.#closing.signal,
      log: this.#log,
      what: this.#path,
      isHeld: () => this.#isHeld(held),
      renew: () => this.#isRenewed(held),
      replace: () => this.#replaced(),
    };
  }

  #isHeld(held: Held): boolean {
    return this.#held === held && !this.#closing.signal.aborted;
  }

  /** The login, if it hangs on this token: no renewal carries it beyond the token's end. */
  #endWith(token: VaultToken): Held | undefined {
    const held = this.#held;
    if (held?.token !== token) return undefined;
    const { lease } = held;
    lease.renewable = false;
    lease.expiresAt = Math.min(lease.expiresAt, token.expiresAt);
    return held;
  }

  /** Not where a renewal brings no more: the lease is over, may not be renewed, or nears its max TTL. */
  async #isRenewed({ credential: { ttlSeconds }, lease }: Held): Promise<boolean> {
    try {
      const body = { lease_id: lease.id, increment: ttlSeconds };
      const answer = renewal.parse(await this.#tokens.request('PUT', 'sys/leases/renew', { body }));
      if (!isWorthKeeping(answer.lease_duration, ttlSeconds)) return false;
      lease.expiresAt = this.#timing.now() + answer.lease_duration * 1_000;
      this.#awayAt = undefined;
      return true;
    } catch (error) {
      if (error instanceof SecretDeniedError || error instanceof SecretNotFoundError) return false;
      throw error;
    }
  }
}

/**
 * Whether a login may work on without its token until Vault is back or the lease ends: a Vault that is away revokes nothing. One
 * that refuses the next login is there, and has revoked it with the token.
 */
function isAway(error: unknown): boolean {
  return error instanceof SourceUnreachableError && !(error instanceof LoginRefusedError);
}
