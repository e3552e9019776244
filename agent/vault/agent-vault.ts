import { setTimeout as delay } from 'node:timers/promises';
import type { SecretCacheOptions } from '../cache-options.ts';
import { type CacheStats, type SecretHealth, sumOf } from '../cache-report.ts';
import { type Clock, steadyClock } from '../clock.ts';
import { AgentClosedError } from '../errors.ts';
import type { AgentLog } from '../log.ts';
import { type OpenSecret, openSecret } from '../open-secret.ts';
import { Redactor } from '../redactor.ts';
import { SecretCache } from '../secret-cache.ts';
import type { SecretSource, SecretVersion } from '../secret-version.ts';
import { type PinnedSecrets, turnWith } from '../turn.ts';
import { type VaultApiOptions, vaultApi } from './api.ts';
import { type DatabaseCredential, DatabaseLease } from './database-lease.ts';
import type { Timing } from './keep-alive.ts';
import { kvSource } from './kv-source.ts';
import type { VaultLogin } from './login.ts';
import { TokenKeeper } from './token.ts';

/** All durations are in milliseconds. */
export interface AgentVaultOptions
  extends VaultApiOptions,
    Pick<SecretCacheOptions, 'ttlMs' | 'staleMs' | 'maxEntries' | 'random'> {
  readonly login: VaultLogin;
  /** Of KV v2. Default: `secret`. */
  readonly mount?: string | undefined;
  readonly now?: Clock | undefined;
  /** Rejects when the signal aborts. */
  readonly wait?: Timing['wait'] | undefined;
  /** Warned of each token and each database login that could be neither renewed nor replaced, and is tried again. */
  readonly log?: AgentLog | undefined;
}

/** Where a path is, if not in the client's own mount. */
interface OfMount {
  readonly mount?: string | undefined;
}

/**
 * An agent's secrets in HashiCorp Vault or OpenBao: KV v2 under the same cache and bounds as those in Secrets Manager, and
 * logins of databases that are made for this instance alone.
 *
 * @example
 * await using vault = createAgentVault({ address, login: kubernetesLogin({ role: 'billing' }) });
 * const { fields } = await vault.get('agents/billing-7/credentials');
 * const { username, password } = await vault.databaseCredentials('billing');
 */
export class AgentVault implements AsyncDisposable {
  readonly #options: AgentVaultOptions;
  readonly #timing: Timing;
  readonly #tokens: TokenKeeper;
  readonly #caches = new Map<string, SecretCache>();
  readonly #leases = new Map<string, DatabaseLease>();
  readonly #redactor: Redactor;
  #closing: Promise<void> | undefined;

  constructor(options: AgentVaultOptions) {
    const { now = steadyClock(), random = Math.random } = options;
    const wait: Timing['wait'] = (ms, signal) => delay(ms, undefined, { signal, ref: false });
    this.#options = options;
    this.#redactor = new Redactor(options);
    this.#timing = { now, random, wait: options.wait ?? wait };
    this.#tokens = new TokenKeeper(vaultApi(options), options.login, this.#timing, options.log);
    this.#tokens.onReplaced(async (old) => {
      await Promise.all([...this.#leases.values()].map((lease) => lease.leave(old)));
    });
  }

  /**
   * What is at a path of KV v2. Where it is the login that Vault refuses, the cause of the SecretUnavailableError is a
   * LoginRefusedError.
   *
   * @throws SecretUnavailableError, SecretNotFoundError, SecretDeniedError, SecretMalformedError, AgentClosedError
   */
  async get(path: string, { mount = this.#mount }: OfMount = {}): Promise<SecretVersion> {
    return this.#cache(mount).get(path);
  }

  /** As `get`, in values of the caller's own, which are cleared when it is disposed of. */
  async open(path: string, options: OfMount = {}): Promise<OpenSecret> {
    return openSecret(await this.get(path, options));
  }

  /** As `get`, but read now: for one whose target has just refused what `get` gave. */
  async refreshNow(path: string, { mount = this.#mount }: OfMount = {}): Promise<SecretVersion> {
    return this.#cache(mount).refresh(path);
  }

  /**
   * Does work with a secret that is cleared when the work has ended, however it ends.
   *
   * @example
   * await vault.withSecret('agents/billing-7/llm', ({ fields }) => call(fields.apiKey));
   */
  async withSecret<Result>(
    path: string,
    work: (secret: OpenSecret) => Promise<Result> | Result,
    options: OfMount = {},
  ): Promise<Result> {
    using secret = await this.open(path, options);
    return await work(secret);
  }

  /** Does a turn's work with one version of each path. See {@link PinnedSecrets}. */
  async turn<Result>(
    work: (pinned: PinnedSecrets) => Promise<Result>,
    options: OfMount = {},
  ): Promise<Result> {
    return turnWith((path) => this.get(path, options), work);
  }

  /** Takes the values that were read out of a text that is to be logged. See {@link Redactor}. */
  redactor(): (text: string) => string {
    return (text) => this.#redactor.redact(text);
  }

  /** What the caches of all mounts have done since the client was made. */
  stats(): CacheStats {
    return sumOf([...this.#caches.values()].map((cache) => cache.stats()));
  }

  /** How it stands with each path that was asked for lately, as `{mount}/{path}`. Holds no value. */
  health(): readonly SecretHealth[] {
    return [...this.#caches].flatMap(([mount, cache]) =>
      cache.health().map((one) => ({ ...one, secretId: `${mount}/${one.secretId}` })),
    );
  }

  /** What is held of a path is read again before it is served next; without a path, all of the mount. */
  invalidate(path?: string, { mount = this.#mount }: OfMount = {}): void {
    this.#caches.get(mount)?.invalidate(path);
  }

  /**
   * Tells of each new version: within a TTL, though nobody asks for the path. Dispose of it to stop.
   *
   * @throws AgentClosedError
   */
  onChange(
    path: string,
    listener: (version: SecretVersion) => void,
    { mount = this.#mount }: OfMount = {},
  ): Disposable {
    return this.#cache(mount).onChange(path, listener);
  }

  /**
   * The login of a database role (`database/creds/{role}`) that is this instance's own: the same one until it has to be
   * replaced. Ask each time a connection is made. Needs `read` there, and `update` on sys/leases/renew and sys/leases/revoke.
   * While Vault is away one call waits for it, and those after it get what is held until its lease ends.
   *
   * @throws SourceUnreachableError, LoginRefusedError, SecretNotFoundError, SecretDeniedError, AgentClosedError
   */
  async databaseCredentials(role: string, { mount = 'database' }: OfMount = {}): Promise<DatabaseCredential> {
    return this.#lease(role, mount).current();
  }

  /**
   * As `databaseCredentials`, but another login: for one whom the database has just refused what that gave. At most once in two
   * seconds a role; in between, and while Vault is out of reach, it is as `databaseCredentials`.
   */
  async refreshDatabaseCredentials(
    role: string,
    { mount = 'database' }: OfMount = {},
  ): Promise<DatabaseCredential> {
    return this.#lease(role, mount).refresh();
  }

  /** Tells of each login that takes the place of another. Dispose of it to stop. */
  onDatabaseCredentials(
    role: string,
    listener: (credential: DatabaseCredential) => void,
    { mount = 'database' }: OfMount = {},
  ): Disposable {
    return this.#lease(role, mount).onChange(listener);
  }

  /** KV as a source, for a cache of your own: `new SecretCache(vault.source())`. */
  source({ mount = this.#mount }: OfMount = {}): SecretSource {
    return kvSource(this.#tokens, mount);
  }

  /** Revokes every login that may still work, and the token, and forgets every value. Repeating it is harmless. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #mount(): string {
    return this.#options.mount ?? 'secret';
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#leases.values()].map((lease) => lease[Symbol.asyncDispose]()));
    for (const cache of this.#caches.values()) cache[Symbol.dispose]();
    this.#redactor.forget();
    await this.#tokens[Symbol.asyncDispose]();
  }

  #cache(mount: string): SecretCache {
    this.#assertOpen();
    const known = this.#caches.get(mount);
    if (known) return known;
    const { ttlMs, staleMs, maxEntries, random } = this.#options;
    const cache = new SecretCache(kvSource(this.#tokens, mount), {
      now: this.#timing.now,
      onVersion: (path, version) => this.#redactor.learn(`${mount}/${path}`, version),
      onForgotten: (path) => this.#redactor.release(`${mount}/${path}`),
      ttlMs,
      staleMs,
      maxEntries,
      random,
    });
    this.#caches.set(mount, cache);
    return cache;
  }

  #lease(role: string, mount: string): DatabaseLease {
    this.#assertOpen();
    const path = `${mount}/creds/${encodeURIComponent(role)}`;
    const known = this.#leases.get(path);
    if (known) return known;
    const lease = new DatabaseLease(this.#tokens, path, this.#timing, this.#options.log);
    lease.onChange(({ leaseId, password }) =>
      // Its own copy: the lease disposes of the password before the redactor forgets it.
      this.#redactor.learn(path, { versionId: leaseId, fields: { password: password.copy() } }),
    );
    this.#leases.set(path, lease);
    return lease;
  }

  #assertOpen(): void {
    if (this.#closing) throw new AgentClosedError('The Vault client is closed');
  }
}

/** See {@link AgentVault}. */
export function createAgentVault(options: AgentVaultOptions): AgentVault {
  return new AgentVault(options);
}
