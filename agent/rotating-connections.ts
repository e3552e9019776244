import { errorClassOf } from '../shared/observability/error-class.ts';
import { type AdoptionListener, adoptionOf } from './adoption.ts';
import { type Clock, steadyClock } from './clock.ts';
import { AgentClosedError } from './errors.ts';
import { notifyListener } from './listener.ts';
import type { SecretCache } from './secret-cache.ts';
import type { SecretVersion } from './secret-version.ts';

/** What it takes to rotate a kind of client: a pool, a connection, or whatever holds a credential while it works. */
export interface ConnectionDriver<Client> {
  /**
   * Makes a client with the version's credential and has the target accept it: rotation goes over to it once this resolves. It
   * must end, so give it a time-out, and where it rejects nothing of the client may be left.
   */
  open(version: SecretVersion): Promise<Client>;
  /** Lets go of a client that nobody uses any more. */
  close(client: Client): Promise<void> | void;
  /** Whether an outcome, what `open` or some work threw or what the work gave, is a refusal of the credential. */
  isAuthFailure(outcome: unknown): boolean;
}

/** Which secret's credential the clients use, and how one is made, closed and recognised as refused. */
export interface RotatingConnectionsOptions<Client> {
  /** What holds the secret: an agent's own cache, or one of yours. */
  readonly cache: SecretCache;
  readonly secretId: string;
  readonly driver: ConnectionDriver<Client>;
  /** Told of each version whose credential works: once its client stands. */
  readonly onAdopted?: AdoptionListener | undefined;
  /** Told once, when no more work is taken on. The promise resolves, and never rejects, when all clients are closed. */
  readonly onClosing?: ((closed: Promise<void>) => void) | undefined;
  /** Back-off is measured by it. */
  readonly now?: Clock | undefined;
}

/** The client of one version. */
interface Lane<Client> {
  readonly versionId: string;
  readonly client: Client;
  users: number;
  /** Set once it takes on no more work; called when it has none. */
  retired?: () => void;
}

const BACKOFF_MS = { first: 1_000, most: 30_000 };

/**
 * A client that outlives rotations. When a new version of the secret arrives, a client with its credential is made first; once
 * it stands, new work goes there, running work finishes where it is, and the old client is closed after it. Until then the old
 * one serves. A credential that the target refuses is read again, and if it is another one now, the work is done once more.
 *
 * @example
 * await using redis = new RotatingConnections({ cache, secretId: 'agents/billing-7/redis', driver });
 * const invoice = await redis.use((client) => client.get('invoice:1'));
 */
export class RotatingConnections<Client> implements AsyncDisposable {
  readonly #options: RotatingConnectionsOptions<Client>;
  readonly #now: Clock;
  readonly #listening: Disposable;
  readonly #draining = new Set<Promise<void>>();
  #lane: Lane<Client> | undefined;
  #opening: Promise<Lane<Client>> | undefined;
  #failures = 0;
  #retryAt = Number.NEGATIVE_INFINITY;
  #closing: Promise<void> | undefined;

  constructor(options: RotatingConnectionsOptions<Client>) {
    this.#options = options;
    this.#now = options.now ?? steadyClock();
    this.#listening = options.cache.onChange(options.secretId, () => this.#follow());
  }

  /** The version whose client serves; undefined until the first one is open. */
  get versionId(): string | undefined {
    return this.#lane?.versionId;
  }

  /**
   * Does work with the client; it stays open until the work has ended, whatever is rotated meanwhile. Work whose outcome is a
   * refusal is done once more, with what is in force then: let it be one request, or something that may be repeated.
   */
  async use<Result>(work: (client: Client) => Promise<Result> | Result): Promise<Result> {
    for (let retried = false; ; ) {
      const lane = this.#serving() ?? (await this.#open());
      if (lane.retired) continue;
      const outcome = await this.#outcome(lane, work);
      const refused = this.#isRefusal('error' in outcome ? outcome.error : outcome.result);
      if (refused && !retried && (await this.#isSuperseded(lane))) retried = true;
      else if ('error' in outcome) throw outcome.error;
      else return outcome.result;
    }
  }

  /** Resolves once all work has ended, and its clients are closed. Repeating it is harmless. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closing) {
      this.#closing = this.#close();
      this.#options.onClosing?.(this.#closing);
    }
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.#listening[Symbol.dispose]();
    await this.#opening?.catch(() => undefined);
    if (this.#lane) this.#retire(this.#lane);
    this.#lane = undefined;
    await Promise.all(this.#draining);
  }

  /** The lane that may serve now. None if there is none yet, or if the secret is past its hard bound, gone or denied. */
  #serving(): Lane<Client> | undefined {
    if (this.#closing) throw new AgentClosedError('The connections are closed');
    const { cache, secretId } = this.#options;
    if (!this.#lane || !cache.isUsable(secretId)) return undefined;
    const fresh = cache.peek(secretId);
    if (fresh === undefined) cache.get(secretId).catch(() => undefined);
    else this.#follow();
    return this.#lane;
  }

  /** Goes over to what the cache has, if it is another version than the lane's, while the lane serves. */
  #follow(): void {
    const fresh = this.#options.cache.peek(this.#options.secretId);
    if (this.#closing || this.#opening || !this.#lane || !fresh) return;
    if (fresh.versionId === this.#lane.versionId || this.#now() < this.#retryAt) return;
    this.#open().catch(() => undefined);
  }

  /** Whether another version than the lane's is in force, and open. If not, a repeat would be but one more bad login. */
  async #isSuperseded(lane: Lane<Client>): Promise<boolean> {
    await this.#options.cache.refresh(this.#options.secretId);
    return (await this.#open()) !== lane;
  }

  #open(): Promise<Lane<Client>> {
    if (this.#closing) return Promise.reject(new AgentClosedError('The connections are closed'));
    this.#opening ??= this.#openFreshest()
      .then(
        (lane) => {
          this.#failures = 0;
          return lane;
        },
        (error: unknown) => {
          this.#failures += 1;
          const pause = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** (this.#failures - 1));
          this.#retryAt = this.#now() + pause;
          throw error;
        },
      )
      .finally(() => {
        this.#opening = undefined;
        // A version may have arrived meanwhile.
        this.#follow();
      });
    return this.#opening;
  }

  async #openFreshest(): Promise<Lane<Client>> {
    const { cache, secretId, driver, onAdopted } = this.#options;
    for (let retried = false; ; retried = true) {
      const version = await cache.get(secretId);
      if (this.#lane?.versionId === version.versionId) return this.#lane;
      try {
        const client = await driver.open(version);
        if (this.#lane) this.#retire(this.#lane);
        this.#lane = { versionId: version.versionId, client, users: 0 };
        if (onAdopted) notifyListener(onAdopted, adoptionOf(secretId, version));
        return this.#lane;
      } catch (error) {
        if (retried || !this.#isRefusal(error)) throw error;
        await cache.refresh(secretId);
      }
    }
  }

  #isRefusal(outcome: unknown): boolean {
    return this.#options.driver.isAuthFailure(outcome);
  }

  async #outcome<Result>(
    lane: Lane<Client>,
    work: (client: Client) => Promise<Result> | Result,
  ): Promise<{ readonly result: Result } | { readonly error: unknown }> {
    lane.users += 1;
    try {
      return { result: await work(lane.client) };
    } catch (error) {
      return { error };
    } finally {
      lane.users -= 1;
      if (lane.users === 0) lane.retired?.();
    }
  }

  /** Takes a lane out of use. Its client is closed once its last work has ended, and closing waits for both. */
  #retire(lane: Lane<Client>): void {
    const idle = new Promise<void>((resolve) => {
      lane.retired = resolve;
    });
    if (lane.users === 0) lane.retired?.();
    const ended: Promise<void> = idle
      .then(() => this.#options.driver.close(lane.client))
      .catch((error: unknown) => {
        // What can't be closed is nobody's work any more, so it fails none.
        process.emitWarning(`A client of the agent could not be closed: ${errorClassOf(error)}`);
      })
      .finally(() => this.#draining.delete(ended));
    this.#draining.add(ended);
  }
}

/** See {@link RotatingConnections}. */
export function rotatingConnections<Client>(
  options: RotatingConnectionsOptions<Client>,
): RotatingConnections<Client> {
  return new RotatingConnections(options);
}
