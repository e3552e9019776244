import { z } from 'zod';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { told } from '../adoption.ts';
import { SecretDeniedError, SecretNotFoundError, SourceUnreachableError } from '../errors.ts';
import { dueAfter, type Timing, type TokenKeeper } from './token.ts';

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

/** A renewal that gives less than this share of the first TTL has met the max TTL: time for another login. */
const WORTH_RENEWING = 0.5;
const RETRY_MS = 2_000;

interface Held {
  readonly credential: DatabaseCredential;
  readonly renewable: boolean;
  readonly expiresAt: number;
}

/**
 * Keeps a dynamic login of one database role: renewed at two thirds of its lease, replaced by another where it can't be
 * renewed any more, and when the token that it hangs on is replaced. The one that was replaced works on until its lease ends.
 */
export class DatabaseLease implements AsyncDisposable {
  readonly #tokens: TokenKeeper;
  readonly #path: string;
  readonly #timing: Timing;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<(credential: DatabaseCredential) => void>();
  /** Of every lease that may still be open. */
  readonly #leases = new Set<string>();
  #held: Held | undefined;
  #issuing: Promise<Held> | undefined;
  readonly #keeping = new Set<Promise<void>>();

  constructor(tokens: TokenKeeper, path: string, timing: Timing) {
    this.#tokens = tokens;
    this.#path = path;
    this.#timing = timing;
  }

  async current(): Promise<DatabaseCredential> {
    const held = this.#held;
    if (held && this.#timing.now() < held.expiresAt) return held.credential;
    return (await this.#replaced()).credential;
  }

  onChange(listener: (credential: DatabaseCredential) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Another login in place of the one that is held, if one is: its token is about to go. */
  async replace(): Promise<void> {
    if (this.#held) await this.#replaced();
  }

  /** Revokes every login that was made: the database refuses them from here on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#issuing?.catch(() => undefined);
    await Promise.all(this.#keeping);
    this.#held?.credential.password[Symbol.dispose]();
    this.#held = undefined;
    const revoked = [...this.#leases].map((lease_id) =>
      this.#tokens.request('PUT', 'sys/leases/revoke', { lease_id }),
    );
    // A lease whose revocation failed ends with its token, or by its time.
    await Promise.allSettled(revoked);
  }

  #replaced(): Promise<Held> {
    this.#issuing ??= this.#issued().finally(() => {
      this.#issuing = undefined;
    });
    return this.#issuing;
  }

  async #issued(): Promise<Held> {
    const answer = issued.safeParse(await this.#tokens.request('GET', this.#path));
    if (!answer.success)
      throw new SourceUnreachableError(`Vault answered in an unknown shape for ${this.#path}`);
    const { lease_id: leaseId, lease_duration: ttlSeconds, renewable, data } = answer.data;
    this.#leases.add(leaseId);
    const credential = Object.freeze({
      username: data.username,
      password: SecretValue.of(data.password),
      leaseId,
      ttlSeconds,
    });
    const held = { credential, renewable, expiresAt: this.#timing.now() + ttlSeconds * 1_000 };
    this.#held = held;
    for (const listener of this.#listeners) told(listener, credential);
    const keeping = this.#keep(held).finally(() => this.#keeping.delete(keeping));
    this.#keeping.add(keeping);
    return held;
  }

  /** Until another login takes its place. */
  async #keep(held: Held): Promise<void> {
    const { now, wait, random } = this.#timing;
    const { signal } = this.#closing;
    for (let kept = held; !signal.aborted; ) {
      await wait(dueAfter(kept.expiresAt - now(), random()), signal).catch(() => undefined);
      if (signal.aborted || this.#held !== kept) return;
      kept = await this.#prolonged(kept, signal);
      if (this.#held !== kept) return;
    }
  }

  /** The same login with more time; the same as it was where another took its place. Tries until one or the other. */
  async #prolonged(held: Held, signal: AbortSignal): Promise<Held> {
    const { credential } = held;
    while (!signal.aborted) {
      try {
        const ttlMs = held.renewable ? await this.#renewedTtlMs(credential) : 0;
        if (ttlMs < credential.ttlSeconds * 1_000 * WORTH_RENEWING) {
          await this.#replaced();
          return held;
        }
        if (this.#held === held) this.#held = { ...held, expiresAt: this.#timing.now() + ttlMs };
        return this.#held ?? held;
      } catch {
        // Vault is away. When the lease has ended meanwhile, whoever asks for the login is told.
        await this.#timing.wait(RETRY_MS, signal).catch(() => undefined);
      }
    }
    return held;
  }

  /** 0 where Vault refuses: the lease is over, or may not be renewed. */
  async #renewedTtlMs({ leaseId, ttlSeconds }: DatabaseCredential): Promise<number> {
    try {
      const body = { lease_id: leaseId, increment: ttlSeconds };
      return (
        renewal.parse(await this.#tokens.request('PUT', 'sys/leases/renew', body)).lease_duration * 1_000
      );
    } catch (error) {
      if (error instanceof SecretDeniedError || error instanceof SecretNotFoundError) return 0;
      throw error;
    }
  }
}
