import type { SecretsManagerClientConfig } from '@aws-sdk/client-secrets-manager';
import type { SQSClient } from '@aws-sdk/client-sqs';
import { type AdoptionListener, told } from './adoption.ts';
import { AgentClosedError } from './errors.ts';
import { agentSqs, InvalidationListener, type InvalidationOptions } from './invalidation.ts';
import { RotatingPool, type RotatingPoolOptions } from './postgres.ts';
import { SecretCache, type SecretCacheOptions } from './secret-cache.ts';
import type { SecretSource, SecretVersion } from './secret-version.ts';
import { agentSecretsManager, secretsManagerSource } from './secrets-manager-source.ts';

/** All durations are in milliseconds. */
export interface KeyturnAgentOptions
  extends Pick<SecretCacheOptions, 'ttlMs' | 'staleMs' | 'maxEntries' | 'now' | 'wait' | 'random'>,
    Pick<InvalidationOptions, 'log' | 'onConnected'> {
  /** As in the secret's tag `agent_id`. */
  readonly agentId: string;
  /** The agent's queue, subscribed to the invalidation topic. Without it the TTL alone bounds how late a version arrives. */
  readonly queueUrl?: string;
  /** Region, endpoint, credentials and the like. What is left out is found as the AWS SDK finds it. */
  readonly aws?: Pick<
    SecretsManagerClientConfig,
    'region' | 'endpoint' | 'credentials' | 'maxAttempts' | 'retryMode' | 'requestHandler'
  >;
  /** Instead of AWS Secrets Manager. */
  readonly source?: SecretSource;
  /** Instead of a client made from `aws`. It stays the caller's: closing the agent does not destroy it. */
  readonly sqs?: SQSClient;
  /** Told of each version once: when the first connection of a pool with it was made. */
  readonly onAdopted?: AdoptionListener;
}

/** What `postgres` takes besides the secret. */
export type AgentPoolOptions = Omit<RotatingPoolOptions, 'cache' | 'secretId' | 'now'>;

/**
 * An agent's secrets: always right, at most a TTL late, and with a queue not even that.
 *
 * @example
 * await using agent = createKeyturnAgent({ agentId: 'billing-7', queueUrl });
 * const { fields } = await agent.credential('agents/billing-7/credentials');
 * const pool = agent.postgres('agents/billing-7/credentials');
 * const { rows } = await pool.query('select 1');
 */
export class KeyturnAgent implements AsyncDisposable {
  readonly #cache: SecretCache;
  readonly #options: KeyturnAgentOptions;
  readonly #listener: InvalidationListener | undefined;
  readonly #owned: { destroy(): void }[] = [];
  readonly #pools = new Set<RotatingPool>();
  #closing: Promise<void> | undefined;

  constructor(options: KeyturnAgentOptions) {
    this.#options = options;
    this.#cache = new SecretCache(options.source ?? this.#ownSource(), options);
    if (options.queueUrl !== undefined) {
      this.#listener = new InvalidationListener({
        sqs: options.sqs ?? this.#ownSqs(),
        queueUrl: options.queueUrl,
        agentId: options.agentId,
        notice: (notice) => this.#cache.notice(notice),
        ...(options.log && { log: options.log }),
        ...(options.onConnected && { onConnected: options.onConnected }),
      });
    }
  }

  /** Whether notices arrive: the last poll of the queue succeeded. False without a queue. */
  get connected(): boolean {
    return this.#listener?.connected ?? false;
  }

  /**
   * The version of a secret that is in force. Ask each time it is needed instead of keeping it: what is cached costs next to
   * nothing. Fails with SecretUnavailable-, SecretNotFound-, SecretDenied- or SecretMalformedError.
   */
  async credential(secretId: string): Promise<SecretVersion> {
    return this.#cache.get(secretId);
  }

  /** As `credential`, read anew: for one that the target has just refused. */
  async refreshed(secretId: string): Promise<SecretVersion> {
    return this.#cache.refresh(secretId);
  }

  /** Tells of each new version that arrives. Dispose of it to stop. */
  onChange(secretId: string, listener: (version: SecretVersion) => void): Disposable {
    return this.#cache.onChange(secretId, listener);
  }

  /** A pool of PostgreSQL connections with the secret's login. It closes with the agent, or before it. */
  postgres(secretId: string, options: AgentPoolOptions = {}): RotatingPool {
    if (this.#closing) throw new AgentClosedError('The agent is closed');
    const { onAdopted, now } = this.#options;
    const pool = new RotatingPool({
      cache: this.#cache,
      secretId,
      ...(now && { now }),
      ...options,
      onAdopted: (adoption) => {
        for (const listener of [onAdopted, options.onAdopted]) if (listener) told(listener, adoption);
      },
    });
    this.#pools.add(pool);
    return pool;
  }

  /** Lets running queries finish, closes connections, ends the poll and forgets every value. Repeating it is harmless. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const closing = [this.#listener, ...this.#pools].map((part) => part?.[Symbol.asyncDispose]());
    const results = await Promise.allSettled(closing);
    this.#cache[Symbol.dispose]();
    for (const client of this.#owned) client.destroy();
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  #ownSource(): SecretSource {
    const client = agentSecretsManager(this.#options.aws);
    this.#owned.push(client);
    return secretsManagerSource(client);
  }

  #ownSqs(): SQSClient {
    const client = agentSqs(this.#options.aws);
    this.#owned.push(client);
    return client;
  }
}

/** See {@link KeyturnAgent}. */
export function createKeyturnAgent(options: KeyturnAgentOptions): KeyturnAgent {
  return new KeyturnAgent(options);
}
