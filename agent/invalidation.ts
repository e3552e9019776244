import { setTimeout as delay } from 'node:timers/promises';
import {
  DeleteMessageBatchCommand,
  type Message,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SQSClient,
  type SQSClientConfig,
} from '@aws-sdk/client-sqs';
import { z } from 'zod';
import { cacheInvalidation } from '../events/cache-invalidation/event.ts';
import { parsed, UnexpectedShapeError } from '../events/contract.ts';
import { errorClassOf } from '../shared/observability/error-class.ts';
import type { Clock } from './clock.ts';
import { notifyListener } from './listener.ts';
import { type AgentLog, warn } from './log.ts';
import { PATIENCE } from './patience.ts';
import type { VersionNotice } from './version-floor.ts';

/** What became of a message; anything but `noticed` had no effect. */
export type Receipt = 'noticed' | 'malformed' | "another agent's";

/** What a listener listens to, and whom it tells. */
export interface InvalidationOptions {
  readonly sqs: SQSClient;
  /** Or what gives it: a queue that has yet to be made. Asked until it does, and again if the queue is gone. */
  readonly queueUrl: string | (() => Promise<string>);
  /** Notices for other agents are dropped, should the subscription's filter let one through. */
  readonly agentId: string;
  /** Where the notices go: a cache's `notice`. */
  readonly notice: (notice: VersionNotice) => void;
  /** Told of messages without effect, and of failures by the name of their class: never of what a message held. */
  readonly log?: AgentLog | undefined;
  /** Told when the queue begins to answer, and when it ceases to. */
  readonly onConnected?: ((connected: boolean) => void) | undefined;
  /** Milliseconds. Rejects when the signal aborts. */
  readonly wait?: ((ms: number, signal: AbortSignal) => Promise<void>) | undefined;
  readonly now?: Clock | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What SNS wraps a message in, unless the subscription has raw delivery. */
const snsEnvelope = z.object({ Type: z.literal('Notification'), Message: z.string() });

const LONG_POLL_S = 20;
const BACKOFF_MS = { first: 500, most: 30_000 };
/** SQS may end a long poll early. What does so at once, a proxy or an emulator, would be asked all the time. */
const AT_ONCE_MS = 1_000;

/** Milliseconds. A poll whose connection died unnoticed must not wait for ever; a long poll may well wait for 20 s. */
const POLL_MS = (LONG_POLL_S + 10) * 1_000;

/** An SQS client. Where an endpoint is set, a VPC's for instance, it is used, whatever the queue's URL says. */
export function agentSqs(config: SQSClientConfig = {}): SQSClient {
  return new SQSClient({
    customUserAgent: 'keyturn/agent',
    requestHandler: PATIENCE,
    useQueueUrlAsEndpoint: false,
    ...config,
  });
}

/**
 * Reads an agent's queue until it is closed, and passes each notice on. A queue that can't be read is tried again ever more
 * rarely; meanwhile the cache's TTL is what bounds staleness.
 *
 * @example
 * await using listener = new InvalidationListener({ sqs, queueUrl, agentId, notice: (notice) => cache.notice(notice) });
 */
export class InvalidationListener implements AsyncDisposable {
  readonly #options: InvalidationOptions;
  readonly #closing = new AbortController();
  readonly #signal: AbortSignal;
  readonly #polling: Promise<void>;
  #queueUrl: string | undefined;
  #connected = false;
  /** Said once: a subscription without a filter brings them all the time. */
  #hearsOthers = false;

  constructor(options: InvalidationOptions) {
    this.#options = options;
    const { signal } = options;
    this.#signal = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    this.#polling = this.#poll();
  }

  /** Whether the last poll succeeded. False until the first one has. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Ends the poll that is under way, and resolves when it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#polling;
  }

  async #poll(): Promise<void> {
    const { now = () => performance.now() } = this.#options;
    for (let failures = 0; !this.#signal.aborted; ) {
      try {
        const queueUrl = await this.#queue();
        // The first poll, and the first after a failure, only asks whether the queue can be read.
        const isLong = this.#connected;
        const asked = now();
        const messages = await this.#received(queueUrl, isLong ? LONG_POLL_S : 0);
        failures = 0;
        this.#connect(true);
        await this.#consumed(queueUrl, messages);
        if (isLong && messages.length === 0 && now() - asked < AT_ONCE_MS)
          await this.#pause(BACKOFF_MS.first);
      } catch (error) {
        if (this.#signal.aborted) break;
        this.#connect(false);
        failures += 1;
        // Somebody removed it: one that can be made is made anew.
        if (error instanceof QueueDoesNotExist) this.#queueUrl = undefined;
        this.#warn('The invalidation queue could not be polled', { error: errorClassOf(error) });
        await this.#pause(Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** (failures - 1)));
      }
    }
    this.#connect(false);
  }

  async #queue(): Promise<string> {
    const { queueUrl } = this.#options;
    this.#queueUrl ??= typeof queueUrl === 'string' ? queueUrl : await queueUrl();
    return this.#queueUrl;
  }

  async #received(queueUrl: string, waitS: number): Promise<readonly Message[]> {
    const { sqs } = this.#options;
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: queueUrl,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: waitS,
      }),
      // For this call only, and whatever the client's own patience is.
      { abortSignal: this.#signal, requestTimeout: POLL_MS },
    );
    return Messages;
  }

  /** A message is deleted whatever it held: read again, it would say the same. A repeat is harmless, so a crash may repeat. */
  async #consumed(queueUrl: string, messages: readonly Message[]): Promise<void> {
    const { sqs, agentId, notice } = this.#options;
    for (const { Body = '', MessageId = '' } of messages) {
      const receipt = receive(Body, agentId, notice);
      if (receipt === 'noticed') continue;
      const isOthers = receipt === "another agent's";
      if (isOthers && this.#hearsOthers) continue;
      this.#hearsOthers ||= isOthers;
      this.#warn('A message had no effect', { receipt, messageId: MessageId });
    }
    const entries = messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
    if (entries.length === 0) return;
    await sqs.send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries: entries }), {
      abortSignal: this.#signal,
    });
  }

  #connect(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    const { onConnected } = this.#options;
    if (onConnected) notifyListener(onConnected, connected);
  }

  async #pause(ms: number): Promise<void> {
    const { wait = (time, signal) => delay(time, undefined, { signal, ref: false }) } = this.#options;
    // Aborting is how a wait is cut short; the loop sees that for itself.
    await wait(ms, this.#signal).catch(() => undefined);
  }

  #warn(message: string, fields: Readonly<Record<string, string>>): void {
    warn(this.#options.log, message, fields);
  }
}

/** Passes on what a message says, if it keeps to the contract and is for this agent. */
export function receive(body: string, agentId: string, notice: (notice: VersionNotice) => void): Receipt {
  try {
    const envelope = snsEnvelope.safeParse(JSON.parse(body));
    const message: unknown = JSON.parse(envelope.success ? envelope.data.Message : body);
    const invalidation = parsed('cache invalidation', cacheInvalidation, message);
    if (invalidation.agentId !== agentId) return "another agent's";
    notice({
      secret: invalidation.secret,
      secretArn: invalidation.secretArn,
      versionId: invalidation.versionId,
      versionCreatedAt: Date.parse(invalidation.versionCreatedAt),
      movedAt: Date.parse(invalidation.movedAt),
    });
    return 'noticed';
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof UnexpectedShapeError) return 'malformed';
    throw error;
  }
}
