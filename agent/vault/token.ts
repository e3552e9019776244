import { z } from 'zod';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { type Clock, LONGEST_TIMER_MS } from '../clock.ts';
import { SecretDeniedError, SourceUnreachableError } from '../errors.ts';
import type { VaultApi } from './api.ts';
import type { VaultLogin } from './login.ts';

/** A token of Vault's, as we hold it. Times by the keeper's clock, in milliseconds. */
export interface VaultToken {
  readonly value: SecretValue;
  readonly renewable: boolean;
  readonly ttlMs: number;
  readonly expiresAt: number;
  /** Whether it is ours to revoke. */
  readonly own: boolean;
}

export interface Timing {
  readonly now: Clock;
  /** Milliseconds. Rejects when the signal aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From 0 up to 1. */
  readonly random: () => number;
}

const auth = z.object({
  auth: z.object({ client_token: z.string(), lease_duration: z.number(), renewable: z.boolean() }),
});
const renewed = z.object({ auth: z.object({ lease_duration: z.number(), renewable: z.boolean() }) });
const looked = z.object({ data: z.object({ ttl: z.number(), renewable: z.boolean() }) });

/** A renewal that gives less than this share of the first TTL has met the max TTL: time for a new login. */
const WORTH_RENEWING = 0.5;
const RETRY_MS = 5_000;

/**
 * When something that lives for another `ttlMs` is due: at two thirds, or when a timer can't wait longer, which costs but a renewal.
 * Up to a tenth earlier, so that a fleet isn't due at once.
 */
export function dueAfter(ttlMs: number, random: number): number {
  return Math.min(ttlMs * (2 / 3), LONGEST_TIMER_MS) * (1 - random / 10);
}

/**
 * Keeps a token alive: logs in when the first one asks, renews at two thirds of the TTL, and logs in anew before the token
 * reaches its max TTL. The old token is let go once those who depend on it have gone over to the new one.
 */
export class TokenKeeper implements AsyncDisposable {
  readonly #api: VaultApi;
  readonly #login: VaultLogin;
  readonly #timing: Timing;
  readonly #closing = new AbortController();
  readonly #dependants = new Set<() => Promise<void>>();
  #token: VaultToken | undefined;
  #loggingIn: Promise<VaultToken> | undefined;
  readonly #keeping = new Set<Promise<void>>();

  constructor(api: VaultApi, login: VaultLogin, timing: Timing) {
    this.#api = api;
    this.#login = login;
    this.#timing = timing;
  }

  /** Awaited when a new login has taken the place of a token, before the old one is revoked, and its leases with it. */
  onReplaced(dependant: () => Promise<void>): void {
    this.#dependants.add(dependant);
  }

  /** Does a request with the token. One that is refused is done once more with a new login, for the token may be gone. */
  async request(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<unknown> {
    const token = await this.current();
    const send = (value: SecretValue) => this.#api(method, path, { token: value, ...(body && { body }) });
    try {
      return await send(token.value);
    } catch (error) {
      if (!(error instanceof SecretDeniedError) || (await this.#isAlive(token))) throw error;
      if (this.#token === token) this.#token = undefined;
      return send((await this.current()).value);
    }
  }

  async current(): Promise<VaultToken> {
    const token = this.#token;
    if (token && this.#timing.now() < token.expiresAt) return token;
    this.#loggingIn ??= this.#loggedIn().finally(() => {
      this.#loggingIn = undefined;
    });
    return this.#loggingIn;
  }

  /** Ends the renewals, and revokes the token if it is ours. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#loggingIn?.catch(() => undefined);
    await Promise.all(this.#keeping);
    const token = this.#token;
    this.#token = undefined;
    if (token) await this.#revoke(token);
  }

  async #loggedIn(): Promise<VaultToken> {
    const credential = await this.#login();
    const token =
      'token' in credential ? await this.#adopted(credential.token) : await this.#issued(credential);
    this.#token = token;
    const keeping = this.#keep(token).finally(() => this.#keeping.delete(keeping));
    this.#keeping.add(keeping);
    return token;
  }

  async #issued({ path, body }: { readonly path: string; readonly body: object }): Promise<VaultToken> {
    const answer = auth.safeParse(await this.#api('POST', path, { body }));
    if (!answer.success) throw new SourceUnreachableError('Vault answered the login in an unknown shape');
    const { client_token, lease_duration, renewable } = answer.data.auth;
    return this.#tokenOf(SecretValue.of(client_token), lease_duration, renewable, true);
  }

  async #adopted(value: SecretValue): Promise<VaultToken> {
    const answer = looked.safeParse(await this.#api('GET', 'auth/token/lookup-self', { token: value }));
    if (!answer.success) throw new SourceUnreachableError('Vault told nothing of the token');
    return this.#tokenOf(value, answer.data.data.ttl, answer.data.data.renewable, false);
  }

  /** A TTL of 0 is a token without end, a root token for instance. */
  #tokenOf(value: SecretValue, ttlSeconds: number, renewable: boolean, own: boolean): VaultToken {
    const ttlMs = ttlSeconds === 0 ? Number.POSITIVE_INFINITY : ttlSeconds * 1_000;
    return { value, renewable, ttlMs, expiresAt: this.#timing.now() + ttlMs, own };
  }

  /** Until another token takes its place. One without an end needs no keeping. */
  async #keep(token: VaultToken): Promise<void> {
    const { now, wait, random } = this.#timing;
    const { signal } = this.#closing;
    for (let kept = token; Number.isFinite(kept.ttlMs) && !signal.aborted; ) {
      await wait(dueAfter(kept.expiresAt - now(), random()), signal).catch(() => undefined);
      if (signal.aborted || this.#token !== kept) return;
      kept = await this.#prolonged(kept, signal);
      if (this.#token !== kept) return;
    }
  }

  /** The same token with more time; the same as it was where another took its place. Tries until one or the other. */
  async #prolonged(token: VaultToken, signal: AbortSignal): Promise<VaultToken> {
    while (!signal.aborted) {
      try {
        const renewed = token.renewable ? await this.#renewed(token) : undefined;
        if (renewed) {
          this.#token = renewed;
          return renewed;
        }
        // What depends on the old token still works while it goes over: the old one is revoked last.
        await this.#loggedIn();
        await Promise.allSettled([...this.#dependants].map((goOver) => goOver()));
        await this.#revoke(token);
        return token;
      } catch {
        // Vault is away. When the token has ended meanwhile, whoever needs it is told.
        await this.#timing.wait(RETRY_MS, signal).catch(() => undefined);
      }
    }
    return token;
  }

  /** Undefined where a renewal brings no more: refused, or near the max TTL. */
  async #renewed(token: VaultToken): Promise<VaultToken | undefined> {
    const asked = await this.#api('POST', 'auth/token/renew-self', { token: token.value, body: {} }).catch(
      (error: unknown) => {
        if (error instanceof SecretDeniedError) return undefined;
        throw error;
      },
    );
    const answer = renewed.safeParse(asked);
    if (!answer.success) return undefined;
    const { lease_duration, renewable } = answer.data.auth;
    if (lease_duration * 1_000 < token.ttlMs * WORTH_RENEWING) return undefined;
    const expiresAt = this.#timing.now() + lease_duration * 1_000;
    return { ...token, renewable, expiresAt };
  }

  /** Whether Vault still knows a token. If that can't be asked, the refusal it got stands. */
  async #isAlive({ value }: VaultToken): Promise<boolean> {
    return this.#api('GET', 'auth/token/lookup-self', { token: value }).then(
      () => true,
      (error: unknown) => !(error instanceof SecretDeniedError),
    );
  }

  /** It ends by itself otherwise. */
  async #revoke({ own, value }: VaultToken): Promise<void> {
    if (own)
      await this.#api('POST', 'auth/token/revoke-self', { token: value, body: {} }).catch(() => undefined);
    value[Symbol.dispose]();
  }
}
