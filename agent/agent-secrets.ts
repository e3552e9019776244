import { randomUUID } from 'node:crypto';
import type { SQSClient } from '@aws-sdk/client-sqs';
import { type Adoption, type AdoptionListener, adoptionOf } from './adoption.ts';
import { adoptionEvents } from './adoption-events.ts';
import { type AwsOptions, awsConfig } from './aws-options.ts';
import type { SecretCacheOptions } from './cache-options.ts';
import type { CacheStats, SecretHealth } from './cache-report.ts';
import { AgentClosedError, readFailure } from './errors.ts';
import { ownInstanceId } from './instance-id.ts';
import { agentSqs, InvalidationListener, type InvalidationOptions } from './invalidation.ts';
import { notifyListener } from './listener.ts';
import { type OpenSecret, openSecret } from './open-secret.ts';
import { OwnQueue } from './own-queue.ts';
import { isCallers, PATIENCE } from './patience.ts';
import { RotatingPool, type RotatingPoolOptions } from './postgres.ts';
import { Redactor } from './redactor.ts';
import {
  type ConnectionDriver,
  RotatingConnections,
  type RotatingConnectionsOptions,
} from './rotating-connections.ts';
import { SecretCache } from './secret-cache.ts';
import type { SecretSource, SecretVersion, WhichVersion } from './secret-version.ts';
import { agentSecretsManager, secretsManagerSource } from './secrets-manager-source.ts';
import { type PinnedSecrets, turnWith } from './turn.ts';

/** All durations are in milliseconds. */
export interface AgentSecretsOptions
  extends Pick<SecretCacheOptions, 'ttlMs' | 'staleMs' | 'maxEntries' | 'now' | 'wait' | 'random'>,
    Pick<InvalidationOptions, 'log' | 'onConnected'> {
  /** As in the secret's tag `agent_id`. */
  readonly agentId: string;
  /** The agent's queue, subscribed to the invalidation topic. Without it the TTL alone bounds how late a version arrives. */
  readonly queueUrl?: string | undefined;
  /** Instead of a queue: the topic's ARN. The agent makes a queue of its own, subscribes it, and removes it when it closes. */
  readonly topicArn?: string | undefined;
  /** The Keyturn bus, to publish "Secret Adopted" on. Without it nothing is published. */
  readonly eventBusName?: string | undefined;
  /**
   * Tells the instances of an agent apart. Default: host name and process id, and from a process's second one on its number. To a
   * queue of the agent's own the default adds what no other has: one that two share would tell each of half the notices.
   */
  readonly instanceId?: string | undefined;
  /**
   * Region, endpoint, credentials and the like. What is left out is found as the AWS SDK finds it. A request handler that was made
   * already, or an HTTP agent in its options, stays the caller's: closing the agent does not destroy it. Whatever its
   * `requestTimeout`, a poll of the queue may last its 20 s.
   */
  readonly aws?: AwsOptions | undefined;
  /** Instead of AWS Secrets Manager. */
  readonly source?: SecretSource | undefined;
  /** Instead of a client made from `aws`. It stays the caller's: closing the agent does not destroy it. */
  readonly sqs?: SQSClient | undefined;
  /** Told of each version: when a pool's first connection with it was made or, where there is no pool, when it was read. */
  readonly onAdopted?: AdoptionListener | undefined;
}

const CLIENT = { customUserAgent: 'keyturn/agent', requestHandler: PATIENCE };

/** What `postgres` takes besides the secret. */
export type AgentPoolOptions = Omit<RotatingPoolOptions, 'cache' | 'secretId' | 'onClosing' | 'now'>;

/**
 * An agent's secrets, each read once for all who ask. What is served is a TTL old at most, with a queue a second or two; while
 * Secrets Manager is out of reach it is the last known good version, for `staleMs` at most.
 *
 * @example
 * await using agent = createAgentSecrets({ agentId: 'billing-7', topicArn });
 * const { fields } = await agent.get('agents/billing-7/credentials');
 * const pool = agent.postgres('agents/billing-7/credentials');
 * const { rows } = await pool.query('select 1');
 */
export class AgentSecrets implements AsyncDisposable {
  readonly #cache: SecretCache;
  readonly #options: AgentSecretsOptions;
  readonly #source: SecretSource;
  readonly #listener: InvalidationListener | undefined;
  readonly #owned: { destroy(): void }[] = [];
  readonly #pools = new Set<AsyncDisposable>();
  /** How many pools of a secret are open: they tell of its adoption. */
  readonly #openPools = new Map<string, number>();
  readonly #redactor: Redactor;
  readonly #adopted: AdoptionListener[];
  readonly #instanceId: string;
  readonly #queue: OwnQueue | undefined;
  #sqsClient: SQSClient | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: AgentSecretsOptions) {
    this.#options = options;
    this.#instanceId = options.instanceId ?? ownInstanceId(options.agentId);
    this.#adopted = this.#adoptionListeners();
    this.#source = options.source ?? this.#ownSource();
    this.#redactor = new Redactor(options);
    this.#cache = new SecretCache(this.#source, {
      ...options,
      onVersion: (secretId, version) => this.#arrived(secretId, version),
      onForgotten: (secretId) => this.#redactor.release(secretId),
    });
    const queue = this.#queueOnTopic();
    this.#queue = queue;
    const queueUrl = queue ? () => queue.make() : options.queueUrl;
    if (queueUrl !== undefined) {
      this.#listener = new InvalidationListener({
        sqs: this.#sqs(),
        queueUrl,
        agentId: options.agentId,
        notice: (notice) => this.#cache.notice(notice),
        log: options.log,
        onConnected: options.onConnected,
      });
    }
  }

  /** Whether notices arrive: the last poll of the queue succeeded. False without a queue. */
  get connected(): boolean {
    return this.#listener?.connected ?? false;
  }

  /**
   * The version of a secret that is in force. Ask each time it is needed instead of keeping it: what is cached costs next to
   * nothing.
   *
   * @throws SecretUnavailableError, SecretNotFoundError, SecretDeniedError, SecretMalformedError, AgentClosedError
   */
  get(secretId: string): Promise<SecretVersion> {
    return this.#closing ? Promise.reject(closed()) : this.#cache.get(secretId);
  }

  /** As `get`, for one who can do without waiting: undefined where `get` would have to read. */
  held(secretId: string): SecretVersion | undefined {
    return this.#closing ? undefined : this.#cache.held(secretId);
  }

  /** As `get`, but read now: for one whose target has just refused what `get` gave. */
  async refreshNow(secretId: string): Promise<SecretVersion> {
    if (this.#closing) throw closed();
    return this.#cache.refresh(secretId);
  }

  /** One certain version, read each time: what isn't in force is asked for too rarely to be held. Throws as `get`. */
  async version(secretId: string, which: WhichVersion): Promise<SecretVersion> {
    if (this.#closing) throw closed();
    const version = await this.#source.fetch(secretId, which).catch((error: unknown) => {
      throw readFailure(secretId, error);
    });
    if (!this.#closing) this.#redactor.glimpse(secretId, version);
    return version;
  }

  /** What is held of a secret is read again before it is served next; without a secret, all of them. */
  invalidate(secretId?: string): void {
    this.#cache.invalidate(secretId);
  }

  /** A version's fields in values of the caller's own, which are cleared when it is disposed of. Throws as `get`. */
  async open(secretId: string): Promise<OpenSecret> {
    return openSecret(await this.get(secretId));
  }

  /**
   * Does work with a secret that is cleared when the work has ended, however it ends.
   *
   * @example
   * await agent.withSecret('agents/billing-7/llm', ({ fields }) => call(fields.apiKey));
   */
  async withSecret<Result>(
    secretId: string,
    work: (secret: OpenSecret) => Promise<Result> | Result,
  ): Promise<Result> {
    using secret = await this.open(secretId);
    return await work(secret);
  }

  /** Does a turn's work with one version of each secret. See {@link PinnedSecrets}. */
  async turn<Result>(work: (pinned: PinnedSecrets) => Promise<Result>): Promise<Result> {
    return turnWith((secretId) => this.get(secretId), work);
  }

  /** Takes the values of this agent's secrets out of a text that is to be logged. See {@link Redactor}. */
  redactor(): (text: string) => string {
    return (text) => this.#redactor.redact(text);
  }

  /** What the cache has done since the agent was made. */
  stats(): CacheStats {
    return this.#cache.stats();
  }

  /** How it stands with the queue and with each secret that was asked for lately. Holds no value. */
  health(): { readonly connected: boolean; readonly secrets: readonly SecretHealth[] } {
    return { connected: this.connected, secrets: this.#cache.health() };
  }

  /**
   * Tells of each new version: within a TTL, notices or none, though nobody asks for the secret. Dispose of it to stop.
   *
   * @throws AgentClosedError
   */
  onChange(secretId: string, listener: (version: SecretVersion) => void): Disposable {
    if (this.#closing) throw closed();
    return this.#cache.onChange(secretId, listener);
  }

  /** A pool of PostgreSQL connections with the secret's login. It closes with the agent, or before it. */
  postgres(secretId: string, options: AgentPoolOptions = {}): RotatingPool {
    return this.#pool(
      secretId,
      options.onAdopted,
      (connection) => new RotatingPool({ ...options, ...connection }),
    );
  }

  /**
   * As `postgres`, for any client that holds a credential while it works: another database's, a queue's, an HTTP agent. What
   * makes and closes one is the driver's to say.
   */
  connections<Client>(
    secretId: string,
    driver: ConnectionDriver<Client>,
    { onAdopted }: { readonly onAdopted?: AdoptionListener | undefined } = {},
  ): RotatingConnections<Client> {
    return this.#pool(
      secretId,
      onAdopted,
      (connection) => new RotatingConnections({ driver, ...connection }),
    );
  }

  /**
   * Serves no secret from now on, ends the poll, removes a queue of the agent's own, lets running queries finish, closes
   * connections and forgets every value. Resolves once all connections that are in use have been released; a queue that can't be
   * removed is said to the log. Repeating it is harmless.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    // A connection that is never given back keeps no queue.
    const pools = [...this.#pools].map((pool) => pool[Symbol.asyncDispose]());
    await Promise.all([this.#endHearing(), ...pools]);
    this.#cache[Symbol.dispose]();
    this.#redactor.forget();
    // To destroy a client is to destroy its handler.
    if (!isCallers(this.#options.aws?.requestHandler)) for (const client of this.#owned) client.destroy();
  }

  /** The queue after the listener, which may be making it. */
  async #endHearing(): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]();
    await this.#queue?.[Symbol.asyncDispose]();
  }

  /** A pool that closes with the agent, and of which nothing is kept once it is closed. */
  #pool<Pool extends AsyncDisposable>(
    secretId: string,
    onAdopted: AdoptionListener | undefined,
    make: (connection: Omit<RotatingConnectionsOptions<unknown>, 'driver'>) => Pool,
  ): Pool {
    if (this.#closing) throw closed();
    const pool = make({
      cache: this.#cache,
      secretId,
      now: this.#options.now,
      onAdopted: (adoption: Adoption) => {
        this.#tell(adoption);
        if (onAdopted) notifyListener(onAdopted, adoption);
      },
      onClosing: (closed) => {
        this.#countPools(secretId, -1);
        closed.finally(() => this.#pools.delete(pool));
      },
    });
    this.#countPools(secretId, 1);
    this.#pools.add(pool);
    return pool;
  }

  #countPools(secretId: string, change: 1 | -1): void {
    const count = (this.#openPools.get(secretId) ?? 0) + change;
    if (count > 0) this.#openPools.set(secretId, count);
    else this.#openPools.delete(secretId);
  }

  #arrived(secretId: string, version: SecretVersion): void {
    this.#redactor.learn(secretId, version);
    if (!this.#openPools.has(secretId)) this.#tell(adoptionOf(secretId, version));
  }

  #tell(adoption: Adoption): void {
    for (const listener of this.#adopted) notifyListener(listener, adoption);
  }

  #adoptionListeners(): AdoptionListener[] {
    const { agentId, eventBusName, aws, log, onAdopted } = this.#options;
    if (eventBusName === undefined) return onAdopted ? [onAdopted] : [];
    const make = async () => {
      const { EventBridgeClient } = await import('@aws-sdk/client-eventbridge');
      return this.#own(new EventBridgeClient({ ...CLIENT, ...awsConfig(aws) }));
    };
    let client: ReturnType<typeof make> | undefined;
    const events = adoptionEvents({
      client: () => {
        client ??= make();
        return client;
      },
      eventBusName,
      agentId,
      instanceId: this.#instanceId,
      log,
    });
    return onAdopted ? [onAdopted, events] : [events];
  }

  #queueOnTopic(): OwnQueue | undefined {
    const { topicArn, queueUrl, agentId, instanceId, aws, log, random } = this.#options;
    if (topicArn === undefined || queueUrl !== undefined) return undefined;
    return new OwnQueue({
      sqs: this.#sqs(),
      sns: async () => {
        const { SNSClient } = await import('@aws-sdk/client-sns');
        return this.#own(new SNSClient({ ...CLIENT, ...awsConfig(aws) }));
      },
      topicArn,
      agentId,
      instanceId: instanceId ?? `${this.#instanceId}-${randomUUID()}`,
      log,
      random,
      onSubscribed: () => this.#cache.invalidate(),
    });
  }

  #own<Client extends { destroy(): void }>(client: Client): Client {
    this.#owned.push(client);
    return client;
  }

  #ownSource(): SecretSource {
    return secretsManagerSource(this.#own(agentSecretsManager(awsConfig(this.#options.aws))));
  }

  #sqs(): SQSClient {
    this.#sqsClient ??= this.#options.sqs ?? this.#own(agentSqs(awsConfig(this.#options.aws)));
    return this.#sqsClient;
  }
}

const closed = () => new AgentClosedError('The agent is closed');

/** See {@link AgentSecrets}. */
export function createAgentSecrets(options: AgentSecretsOptions): AgentSecrets {
  return new AgentSecrets(options);
}
