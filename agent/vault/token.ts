import { z } from 'zod';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { errorClassOf } from '../../shared/observability/error-class.ts';
import {
  AgentClosedError,
  LoginRefusedError,
  SecretDeniedError,
  SecretNotFoundError,
  SourceUnreachableError,
} from '../errors.ts';
import type { AgentLog } from '../log.ts';
import type { VaultApi } from './api.ts';
import { type Expiring, isWorthKeeping, keepAlive, type Timing } from './keep-alive.ts';
import type { VaultCredential, VaultLogin } from './login.ts';

/** A token of Vault's, as we hold it; a renewal puts its end off. Times by the keeper's clock, in milliseconds. */
export interface VaultToken extends Expiring {
  readonly value: SecretValue;
  readonly ttlMs: number;
  /** Whether it is ours to revoke. */
  readonly own: boolean;
}

const auth = z.object({
  auth: z.object({ client_token: z.string(), lease_duration: z.number(), renewable: z.boolean() }),
});
const renewed = z.object({ auth: z.object({ lease_duration: z.number(), renewable: z.boolean() }) });
const looked = z.object({
  data: z.object({ ttl: z.number(), renewable: z.boolean(), expire_time: z.string().nullish() }),
});

type TokenRequest = readonly [
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  more?: { readonly body?: object; readonly repeatable?: boolean },
];

/** For so long a refusal of a path is taken to be about rights, once another token was refused there as well. */
const REFUSED_MS = 600_000;

/**
 * Keeps a token alive: logs in when the first one asks, renews at two thirds of the TTL, and logs in anew before the token
 * reaches its max TTL. The old token is let go once those who depend on it have gone over to the new one.
 */
export class TokenKeeper implements AsyncDisposable {
  readonly #api: VaultApi;
  readonly #login: VaultLogin;
  readonly #timing: Timing;
  readonly #log: AgentLog | undefined;
  readonly #closing = new AbortController();
  readonly #dependants = new Set<(old: VaultToken) => Promise<void>>();
  #token: VaultToken | undefined;
  #loggingIn: Promise<VaultToken> | undefined;
  readonly #underWay = new Set<Promise<void>>();
  /** Until when a refusal of which paths stands. */
  readonly #refused = new Map<string, number>();

  constructor(api: VaultApi, login: VaultLogin, timing: Timing, log?: AgentLog) {
    this.#api = api;
    this.#login = login;
    this.#timing = timing;
    this.#log = log;
  }

  /** Awaited when a new login has taken the place of a token, before the old one is revoked, and its leases with it. */
  onReplaced(dependant: (old: VaultToken) => Promise<void>): void {
    this.#dependants.add(dependant);
  }

  /**
   * Does a request with the token. One that is refused is done once more with another, if the token is gone, or may not say so
   * and its refusal there isn't known to be about rights.
   */
  async request(...request: TokenRequest): Promise<unknown> {
    return (await this.answered(...request)).answer;
  }

  /** As `request`, with the token that it was done with: what Vault made for it ends with that one. */
  async answered(
    ...[method, path, more]: TokenRequest
  ): Promise<{ readonly answer: unknown; readonly token: VaultToken }> {
    const send = async (token: VaultToken) => {
      const answer = await this.#api(method, path, { ...more, token: token.value });
      return { answer, token };
    };
    const token = await this.current();
    try {
      const done = await send(token);
      this.#refused.delete(path);
      return done;
    } catch (error) {
      const isDenied = error instanceof SecretDeniedError;
      if (!isDenied || this.#isRefused(path) || !(await this.#isGone(token))) throw error;
    }
    try {
      return await send(await this.current());
    } catch (error) {
      if (error instanceof SecretDeniedError) this.#refused.set(path, this.#timing.now() + REFUSED_MS);
      throw error;
    }
  }

  async current(): Promise<VaultToken> {
    const token = this.#token;
    return token && this.#timing.now() < token.expiresAt ? token : this.#replaced();
  }

  /** Ends the renewals, and revokes the token if it is ours. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#loggingIn?.catch(() => undefined);
    await Promise.all(this.#underWay);
    const token = this.#token;
    this.#token = undefined;
    if (token) await this.#revoke(token);
  }

  /** One login for all who need it. */
  #replaced(): Promise<VaultToken> {
    this.#loggingIn ??= this.#loggedIn().finally(() => {
      this.#loggingIn = undefined;
    });
    return this.#loggingIn;
  }

  async #loggedIn(): Promise<VaultToken> {
    if (this.#closing.signal.aborted) throw new AgentClosedError('The Vault client is closed');
    const old = this.#token;
    const credential = await this.#login().catch(asOutage);
    const token = await this.#tokenFor(credential).catch(asRefusedLogin);
    if (token === old) return token;
    this.#token = token;
    this.#start(this.#keep(token));
    if (old) this.#start(this.#leave(old));
    return token;
  }

  /** What nobody waits for until the end. */
  #start(work: Promise<void>): void {
    const underWay = work.finally(() => this.#underWay.delete(underWay));
    this.#underWay.add(underWay);
  }

  #tokenFor(credential: VaultCredential): Promise<VaultToken> {
    return 'token' in credential ? this.#adopted(credential.token) : this.#issued(credential);
  }

  async #issued({ path, body }: { readonly path: string; readonly body: object }): Promise<VaultToken> {
    const answer = auth.safeParse(await this.#api('POST', path, { body, repeatable: true }));
    if (!answer.success) throw new SourceUnreachableError('Vault answered the login in an unknown shape');
    const { client_token, lease_duration, renewable } = answer.data.auth;
    const ttlSeconds = lease_duration === 0 ? Number.POSITIVE_INFINITY : lease_duration;
    return this.#tokenOf(SecretValue.of(client_token), ttlSeconds, renewable, true);
  }

  /** The one that is held, with another end perhaps, if it is that one: what hangs on it need not go over. */
  async #adopted(value: SecretValue): Promise<VaultToken> {
    const answer = looked.safeParse(await this.#look(value));
    if (!answer.success) throw new SourceUnreachableError('Vault told nothing of the token');
    const { ttl, renewable, expire_time } = answer.data.data;
    // The last second of one that ends is a TTL of 0, too.
    const ttlSeconds = ttl === 0 && !expire_time ? Number.POSITIVE_INFINITY : ttl;
    const token = this.#tokenOf(value, ttlSeconds, renewable, false);
    const held = this.#token;
    if (held?.value.reveal() !== value.reveal()) return token;
    held.renewable = renewable;
    held.expiresAt = token.expiresAt;
    return held;
  }

  #tokenOf(value: SecretValue, ttlSeconds: number, renewable: boolean, own: boolean): VaultToken {
    const ttlMs = ttlSeconds * 1_000;
    return { value, renewable, ttlMs, expiresAt: this.#timing.now() + ttlMs, own };
  }

  /** Until another token takes its place. One without an end needs no keeping. */
  async #keep(token: VaultToken): Promise<void> {
    if (!Number.isFinite(token.ttlMs)) return;
    await keepAlive({
      expiring: token,
      timing: this.#timing,
      closing: this.#closing.signal,
      log: this.#log,
      what: 'token',
      isHeld: () => this.#isHeld(token),
      renew: () => this.#isRenewed(token),
      replace: () => this.#replaced(),
    });
  }

  #isHeld(token: VaultToken): boolean {
    return this.#token === token && !this.#closing.signal.aborted;
  }

  /** What depends on the old token may still work while it goes over: the old one is revoked last. */
  async #leave(old: VaultToken): Promise<void> {
    await Promise.allSettled([...this.#dependants].map((goOver) => goOver(old)));
    await this.#revoke(old);
  }

  /** Not where a renewal brings no more: refused, or near the max TTL. */
  async #isRenewed(token: VaultToken): Promise<boolean> {
    const asked = await this.#api('POST', 'auth/token/renew-self', { token: token.value, body: {} }).catch(
      (error: unknown) => {
        if (error instanceof SecretDeniedError) return undefined;
        throw error;
      },
    );
    const answer = renewed.safeParse(asked);
    if (!answer.success) return false;
    const { lease_duration, renewable } = answer.data.auth;
    if (!isWorthKeeping(lease_duration * 1_000, token.ttlMs)) return false;
    token.renewable = renewable;
    token.expiresAt = this.#timing.now() + lease_duration * 1_000;
    return true;
  }

  /** Whether that is known to be about rights. Forgets what isn't known any more. */
  #isRefused(path: string): boolean {
    const now = this.#timing.now();
    for (const [refused, until] of this.#refused) if (until <= now) this.#refused.delete(refused);
    return this.#refused.has(path);
  }

  /**
   * Whether a token that was refused is none any more: another has taken its place, or Vault doesn't know it. If that can't be
   * asked, the refusal stands.
   */
  async #isGone(token: VaultToken): Promise<boolean> {
    if (this.#token !== token) return true;
    const isGone = await this.#look(token.value).then(
      () => false,
      (error: unknown) => error instanceof SecretDeniedError,
    );
    if (isGone) token.expiresAt = this.#timing.now();
    return isGone;
  }

  #look(token: SecretValue): Promise<unknown> {
    return this.#api('GET', 'auth/token/lookup-self', { token, repeatable: true });
  }

  /** It ends by itself otherwise. */
  async #revoke({ own, value }: VaultToken): Promise<void> {
    if (own)
      await this.#api('POST', 'auth/token/revoke-self', { token: value, body: {} }).catch(() => undefined);
    value[Symbol.dispose]();
  }
}

/** A library's message may quote what it was given, and a refusal by another store is none of the secret that is read. */
function asOutage(error: unknown): never {
  if (error instanceof SourceUnreachableError) throw error;
  throw new SourceUnreachableError(`What to log in to Vault with can't be had: ${errorClassOf(error)}`);
}

/** Of the secret that the login was needed for, Vault has said nothing. */
function asRefusedLogin(error: unknown): never {
  const isRefusal = error instanceof SecretDeniedError || error instanceof SecretNotFoundError;
  throw isRefusal ? new LoginRefusedError(`The login failed: ${error.message}`) : error;
}
