import type { SNSClient } from '@aws-sdk/client-sns';
import { classOf } from './errors.ts';
import {
  type InvalidationQueue,
  type InvalidationQueueOptions,
  openInvalidationQueue,
  sweepInvalidationQueues,
} from './invalidation-queue.ts';
import { warn } from './log.ts';

export interface OwnQueueOptions extends Omit<InvalidationQueueOptions, 'sns'> {
  /** Asked once. */
  readonly sns: () => Promise<SNSClient>;
  /** Told each time that a queue stands: what was read before its subscription did may have changed unnoticed. */
  readonly onMade: () => void;
}

/** The queue that an agent makes for itself: when it is first polled, and anew when it turns out to be gone. */
export class OwnQueue implements AsyncDisposable {
  readonly #options: OwnQueueOptions;
  #sns: Promise<SNSClient> | undefined;
  #queue: InvalidationQueue | undefined;

  constructor(options: OwnQueueOptions) {
    this.#options = options;
  }

  /** Gives its URL. A failure is tried again as that of a poll. */
  async make(): Promise<string> {
    const { onMade, log } = this.#options;
    this.#queue?.abandon();
    this.#sns ??= this.#options.sns();
    const made = { ...this.#options, sns: await this.#sns };
    this.#queue = await openInvalidationQueue(made);
    // Nobody waits for it, and an agent that may not do it hears no worse.
    sweepInvalidationQueues(made).catch((error: unknown) => {
      warn(log, 'Queues of instances that are gone could not be removed', { error: classOf(error) });
    });
    onMade();
    return this.#queue.queueUrl;
  }

  /** Removes it, once nobody makes it any more. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue?.[Symbol.asyncDispose]();
  }
}
