import type { SNSClient } from '@aws-sdk/client-sns';
import { errorClassOf } from '../shared/observability/error-class.ts';
import {
  type InvalidationQueue,
  type InvalidationQueueOptions,
  openInvalidationQueue,
} from './invalidation-queue.ts';
import { warn } from './log.ts';
import { type QueueSweepOptions, sweepInvalidationQueues } from './queue-sweep.ts';

export interface OwnQueueOptions extends Omit<InvalidationQueueOptions, 'sns'> {
  /** Asked until it has given one. */
  readonly sns: () => Promise<SNSClient>;
}

/** The sweep begins at a random time within it, lest instances that start together sweep together. */
const SWEEP_WITHIN_MS = 300_000;

/** The queue that an agent makes for itself: when it is first polled, and anew when it turns out to be gone. */
export class OwnQueue implements AsyncDisposable {
  readonly #options: OwnQueueOptions;
  #sns: SNSClient | undefined;
  #queue: InvalidationQueue | undefined;
  #sweeping: NodeJS.Timeout | undefined;
  readonly #closing = new AbortController();

  constructor(options: OwnQueueOptions) {
    this.#options = options;
  }

  /** Gives its URL. A failure is tried again as that of a poll. */
  async make(): Promise<string> {
    this.#queue?.abandon();
    this.#sns ??= await this.#options.sns();
    const made = { ...this.#options, sns: this.#sns };
    this.#queue = await openInvalidationQueue(made);
    this.#sweepLater(made);
    return this.#queue.queueUrl;
  }

  /** Removes it, once nobody makes it any more. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#sweeping);
    this.#closing.abort();
    await this.#queue?.[Symbol.asyncDispose]();
  }

  /** Nobody waits for it, and an agent that may not do it hears no worse. */
  #sweepLater(options: QueueSweepOptions): void {
    const { random = Math.random, log } = this.#options;
    const { signal } = this.#closing;
    clearTimeout(this.#sweeping);
    this.#sweeping = setTimeout(() => {
      sweepInvalidationQueues({ ...options, signal }).catch((error: unknown) => {
        if (signal.aborted) return;
        warn(log, 'Queues of instances that are gone could not be removed', { error: errorClassOf(error) });
      });
    }, random() * SWEEP_WITHIN_MS).unref();
  }
}
