import type { Clock } from './clock.ts';
import { SecretNotFoundError, SourceUnreachableError } from './errors.ts';
import { type Floors, missed, noticed, type VersionNotice, withoutWords } from './version-floor.ts';

/**
 * Waits between the rounds in which a noticed version is looked for: together longer than the five seconds by which an eventually
 * consistent read is taken to lag at most. Secrets Manager names no limit.
 */
export const ROUND_WAITS_MS = [50, 100, 200, 400, 800, 1_600, 2_400];
/** After so many rounds that don't show it, a word is taken for false. */
const ROUNDS_PER_WORD = ROUND_WAITS_MS.length + 1;
/** After so many rounds in one go, new words keep coming in faster than they prove false: a flood. */
const ROUNDS_MAX = 2 * ROUNDS_PER_WORD;
/** After so many words that proved false within the window, notices cause reads but hold up no reader. */
const FALSE_WORDS_MAX = 3;
const FALSE_WORDS_WINDOW_MS = 600_000;
/** A read on a hint, or on demand, at most this often. */
const DEMAND_EVERY_MS = 2_000;
const BACKOFF_MS = { first: 1_000, most: 30_000 };
/** Fetches a secret and a minute, whatever happens. */
const FETCHES_MAX = 100;
const FETCHES_WINDOW_MS = 60_000;

export interface ReadFailure {
  readonly error: unknown;
  readonly count: number;
  readonly retryAt: number;
}

/**
 * What is known of a secret beside its value: the floor under its versions, how its reads went, and how far the word of
 * others is trusted. It outlives the value in the cache, so that an eviction forgets no floor.
 */
export class SecretTrack {
  floors: Floors = [];
  failure: ReadFailure | undefined;
  /** Whether it was ever had. */
  wasServed = false;
  readonly #now: Clock;
  #falseWords: readonly number[] = [];
  #fetches: readonly number[] = [];
  #demandedAt = Number.NEGATIVE_INFINITY;

  constructor(now: Clock) {
    this.#now = now;
  }

  /** Takes a notice's word, as far as its like are trusted. */
  take(notice: VersionNotice): 'moved' | 'hinted' | 'known' {
    const { outcome, floors } = noticed(this.floors, notice, this.#isTrusting());
    this.floors = floors;
    return outcome;
  }

  /** A round of reads did not show the floor in force. */
  miss(round: number): void {
    const { floors, dropped } = missed(this.floors, ROUNDS_PER_WORD);
    const flood = round >= ROUNDS_MAX;
    this.floors = flood ? withoutWords(floors) : floors;
    const falseWords = flood ? FALSE_WORDS_MAX : Number(dropped === 'word');
    const all = [...this.#falseWords, ...Array<number>(falseWords).fill(this.#now())];
    this.#falseWords = all.slice(-FALSE_WORDS_MAX);
  }

  /** How long to wait after a missed round. Where a read failed in between, a word's waits go on, so that all of them are waited. */
  waitAfter(round: number): number {
    const missedBefore = (this.floors[0]?.rounds ?? 0) - 1;
    const at = missedBefore < ROUND_WAITS_MS.length ? Math.max(round, missedBefore) : round;
    return ROUND_WAITS_MS[at % ROUND_WAITS_MS.length] ?? 0;
  }

  /** Whether a read on demand is due, and takes it. It does not wait for the next try of one that failed. */
  demand(): boolean {
    if (this.#now() - this.#demandedAt < DEMAND_EVERY_MS) return false;
    this.#demandedAt = this.#now();
    this.#retryBy(this.#now());
    return true;
  }

  /** Has a read that failed tried again as soon as one on demand is due: what is to be read has changed since. */
  hasten(): void {
    if (this.failure && !this.demand()) this.#retryBy(this.#demandedAt + DEMAND_EVERY_MS);
  }

  /** Whether the source may be asked once more, and counts it. */
  spend(): boolean {
    const since = this.#now() - FETCHES_WINDOW_MS;
    const recent = this.#fetches.filter((at) => at > since);
    const may = recent.length < FETCHES_MAX;
    this.#fetches = may ? [...recent, this.#now()] : recent;
    return may;
  }

  /** `random`: from 0 up to 1. */
  fail(error: unknown, random: number): void {
    const count = (this.failure?.count ?? 0) + 1;
    const most = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** (count - 1));
    this.failure = { error, count, retryAt: this.#now() + most * (0.5 + random / 2) };
  }

  /** Whether its failure may have passed. A name that was denied, and was never served, is not tried again unasked. */
  isDue(): boolean {
    if (!this.failure || this.#now() < this.failure.retryAt) return false;
    return this.wasServed || this.failure.error instanceof SourceUnreachableError;
  }

  /** Whether its failure is nothing to be unhealthy about. */
  isSlip(staleMs: number): boolean {
    if (this.wasServed || !this.failure) return false;
    const { error, retryAt } = this.failure;
    return error instanceof SecretNotFoundError || this.#now() > retryAt + staleMs;
  }

  #retryBy(at: number): void {
    if (this.failure) this.failure = { ...this.failure, retryAt: Math.min(this.failure.retryAt, at) };
  }

  #isTrusting(): boolean {
    const since = this.#now() - FALSE_WORDS_WINDOW_MS;
    return this.#falseWords.filter((at) => at > since).length < FALSE_WORDS_MAX;
  }
}
