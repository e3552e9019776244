import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { type Entry, type Flight, healthOf } from './cache-entry.ts';
import { type SecretCacheOptions, unheldTimer } from './cache-options.ts';
import type { CacheStats, SecretHealth } from './cache-report.ts';
import { type ChangeListener, ChangeListeners } from './change-listeners.ts';
import { type Clock, steadyClock } from './clock.ts';
import {
  AgentClosedError,
  readFailure,
  SecretDeniedError,
  SecretNotFoundError,
  SourceUnreachableError,
} from './errors.ts';
import { notifyListener } from './listener.ts';
import { SecretTrack } from './secret-track.ts';
import { lentVersion, type SecretSource, type SecretVersion } from './secret-version.ts';
import { idsOf, met, reaches, UNMET_MAX, type VersionNotice } from './version-floor.ts';

/** The share of the TTL after which a read is renewed ahead of its end. */
const AHEAD = 0.8;

/**
 * Secrets by name or ARN, each read once for all who ask. A read is served for its TTL; while the source is out of reach the
 * last one is, up to the hard bound, and then `SecretUnavailableError` is thrown. A secret that is gone or denied is an
 * error at once. After a notice nothing older than the noticed version is served: see {@link SecretCache.notice}.
 *
 * @example
 * const cache = new SecretCache(secretsManagerSource());
 * const { fields } = await cache.get('agents/billing-7/credentials');
 */
export class SecretCache implements Disposable {
  readonly #source: SecretSource;
  readonly #ttlMs: number;
  readonly #staleMs: number;
  readonly #now: Clock;
  readonly #wait: (ms: number) => Promise<void>;
  readonly #random: () => number;
  readonly #entries: LRUCache<string, Entry>;
  readonly #tracks: LRUCache<string, SecretTrack>;
  readonly #flights = new Map<string, Flight>();
  readonly #listeners: ChangeListeners;
  readonly #onVersion: NonNullable<SecretCacheOptions['onVersion']>;
  readonly #stats = { hits: 0, misses: 0, fetches: 0, failedReads: 0, servedStale: 0 };
  #closed = false;

  constructor(source: SecretSource, options: SecretCacheOptions = {}) {
    const { ttlMs = 300_000, staleMs = 3_600_000, maxEntries = 100 } = options;
    this.#source = source;
    this.#ttlMs = Math.min(ttlMs, staleMs);
    this.#staleMs = staleMs;
    this.#now = options.now ?? steadyClock();
    this.#wait = options.wait ?? ((ms) => delay(ms));
    this.#random = options.random ?? Math.random;
    this.#onVersion = options.onVersion ?? (() => undefined);
    const { onForgotten = () => undefined } = options;
    this.#entries = new LRUCache({
      max: maxEntries,
      dispose: (_, secretId, reason) => reason !== 'set' && notifyListener(onForgotten, secretId),
    });
    this.#tracks = new LRUCache({ max: maxEntries * 10 });
    this.#listeners = new ChangeListeners({
      after: options.after ?? unheldTimer,
      msUntilDue: (secretId) => this.#msUntilDue(secretId),
      renew: (secretId) => this.#renewQuietly(secretId),
    });
  }

  /** The version in force, from the cache while it may be. */
  get(secretId: string): Promise<SecretVersion> {
    return this.#hit(secretId)?.served ?? this.#missed(secretId);
  }

  /** As `get`, use and renewal included, for one who can do without waiting: undefined where `get` would have to read. */
  held(secretId: string): SecretVersion | undefined {
    return this.#hit(secretId)?.version;
  }

  /** As `held`, for one who but looks: it is no hit, and renews nothing ahead of its end. */
  peek(secretId: string): SecretVersion | undefined {
    return this.#fresh(secretId)?.version;
  }

  /**
   * Reads again, now, for one to whom the held version was refused, also where the last read failed just before. At most once
   * in two seconds a secret; in between, and where the source is out of reach, it is as `get`.
   */
  async refresh(secretId: string): Promise<SecretVersion> {
    this.#assertOpen();
    // A read that began before the call may not know what the caller knows.
    await this.#flights.get(secretId)?.landed.catch(() => undefined);
    if (!this.#flights.has(secretId) && !this.#track(secretId).demand()) return this.get(secretId);
    return this.#renewed(secretId);
  }

  /**
   * Takes the word that AWSCURRENT moved. From here on no version older than the noticed one is served: it is read by its id
   * until it is in force, and dropped again if eight rounds of reads within six seconds don't show it so: no read is taken to
   * lag for longer than five. A word costs reads and holds up readers for that long, and nothing else: after three false ones
   * in ten minutes, notices of that secret don't hold up readers any more.
   */
  notice(notice: VersionNotice): void {
    if (this.#closed) return;
    for (const secretId of idsOf(notice)) {
      const track = this.#track(secretId);
      const outcome = track.take(notice);
      const flight = this.#flights.get(secretId);
      const inUse = flight || this.#entries.has(secretId) || this.#listeners.has(secretId);
      if (outcome === 'moved' && flight) flight.wasNoticed = true;
      else if (outcome === 'moved') track.hasten();
      if (inUse && (outcome === 'moved' || (outcome === 'hinted' && track.demand()))) {
        this.#renewQuietly(secretId);
      }
    }
  }

  /**
   * What is held, or is being read, is read again before it is served next. While the source is out of reach it may still stand
   * in, up to the hard bound. Without a secret: all of them. What somebody listens to is read at once.
   */
  invalidate(secretId?: string): void {
    const { secretIds } = this.#listeners;
    const all = () => new Set([...this.#entries.keys(), ...this.#flights.keys(), ...secretIds]);
    for (const id of secretId === undefined ? all() : [secretId]) {
      const entry = this.#entries.peek(id);
      if (entry) this.#entries.set(id, { ...entry, ttlMs: 0 });
      const flight = this.#flights.get(id);
      if (flight) flight.isOvertaken = true;
      if (this.#listeners.has(id)) this.#renewQuietly(id);
    }
  }

  stats(): CacheStats {
    return { ...this.#stats };
  }

  /**
   * How it stands with each secret that is held fresh, or that could not be had: the one read last first. Age without a failure is
   * no state, for what nobody asks for is not read. A name that there never was is a slip of whoever asked, and nothing to be
   * unhealthy about; one that was denied and never served counts for `staleMs` after it could be asked for again; a secret that
   * was served and is gone does count. Notices ask for nothing. What failed is read again in the background once that is due, so
   * that it recovers though nobody asks for it.
   */
  health(): readonly SecretHealth[] {
    return [...this.#tracks].flatMap(([secretId, track]) => {
      if (track.isDue()) this.#renewQuietly(secretId);
      const entry = this.#entries.peek(secretId);
      return healthOf(secretId, track, entry, { now: this.#now(), staleMs: this.#staleMs }) ?? [];
    });
  }

  /** Until when what is held of the secret may be used while no newer version can be had, by the cache's clock. */
  usableUntil(secretId: string): number | undefined {
    const entry = this.#entries.peek(secretId);
    return entry && entry.readAt + this.#staleMs;
  }

  /** Whether what is held of the secret may still be used while no newer version can be had. */
  isUsable(secretId: string): boolean {
    return this.#now() <= (this.usableUntil(secretId) ?? Number.NEGATIVE_INFINITY);
  }

  /**
   * Tells of each version that comes into the cache in place of another, or as the first. Until the last listener stops, the
   * secret is renewed ahead of its time though nobody asks for it, at most once in two seconds: within a TTL they hear of a
   * version, notices or none. Dispose of it to stop.
   */
  onChange(secretId: string, listener: ChangeListener): Disposable {
    return this.#listeners.add(secretId, listener);
  }

  /** Forgets every value. Afterwards each read is an `AgentClosedError`. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#entries.clear();
    this.#tracks.clear();
    this.#listeners[Symbol.dispose]();
  }

  /** What nearly every call comes to, so it reads the clock once and makes nothing. */
  #hit(secretId: string): Entry | undefined {
    const entry = this.#entries.get(secretId);
    if (!entry) return undefined;
    const ageMs = this.#now() - entry.readAt;
    if (ageMs >= entry.ttlMs || !reaches(entry.version, entry.track.floors)) return undefined;
    this.#stats.hits += 1;
    if (ageMs > entry.ttlMs * AHEAD) this.#renewQuietly(secretId);
    return entry;
  }

  #fresh(secretId: string): Entry | undefined {
    const entry = this.#entries.get(secretId);
    if (!entry || this.#now() - entry.readAt >= entry.ttlMs) return undefined;
    return reaches(entry.version, entry.track.floors) ? entry : undefined;
  }

  async #missed(secretId: string): Promise<SecretVersion> {
    this.#assertOpen();
    this.#stats.misses += 1;
    return this.#renewed(secretId);
  }

  async #renewed(secretId: string): Promise<SecretVersion> {
    for (;;) {
      const { failure } = this.#track(secretId);
      if (failure && this.#now() < failure.retryAt && !this.#flights.has(secretId)) {
        return this.#lastKnownGood(secretId, failure.error);
      }
      const flight = this.#flight(secretId);
      const isLate = flight.isOvertaken;
      try {
        const { version, readAt } = await flight.landed;
        this.#assertOpen();
        if (isLate) continue;
        if (this.#now() - readAt > this.#staleMs) {
          throw new SourceUnreachableError(`The answer for ${secretId} came too late to be served`);
        }
        // The floor may have moved between the end of the read and here.
        if (reaches(version, this.#track(secretId).floors)) return version;
      } catch (error) {
        return this.#lastKnownGood(secretId, error);
      }
    }
  }

  #renewQuietly(secretId: string): void {
    // Those who ask next are told of the failure; here nobody asked.
    this.#renewed(secretId).catch(() => undefined);
  }

  /** Of a source that is out of reach more is to be expected soon than of a secret that is gone, or denied. */
  #msUntilDue(secretId: string): number {
    const { failure } = this.#track(secretId);
    const isAway = failure?.error instanceof SourceUnreachableError;
    if (isAway) return failure.retryAt - this.#now();
    const entry = failure ? undefined : this.#entries.peek(secretId);
    return entry ? entry.readAt + entry.ttlMs * AHEAD - this.#now() : this.#ttlMs * AHEAD;
  }

  #lastKnownGood(secretId: string, error: unknown): SecretVersion {
    this.#assertOpen();
    if (error instanceof SecretNotFoundError || error instanceof SecretDeniedError) {
      this.#entries.delete(secretId);
      throw error;
    }
    const entry = this.#entries.peek(secretId);
    if (entry && this.#now() - entry.readAt > this.#staleMs) this.#entries.delete(secretId);
    else if (entry && reaches(entry.version, this.#track(secretId).floors)) {
      this.#stats.servedStale += 1;
      return entry.version;
    }
    throw readFailure(secretId, error);
  }

  #flight(secretId: string): Flight {
    const flying = this.#flights.get(secretId);
    if (flying) return flying;
    const landed = this.#read(secretId)
      .then(
        (entry) => {
          this.#track(secretId).failure = undefined;
          return entry;
        },
        (error: unknown) => {
          this.#stats.failedReads += 1;
          const track = this.#track(secretId);
          track.fail(error, this.#random());
          if (this.#flights.get(secretId)?.wasNoticed) track.hasten();
          throw error;
        },
      )
      .finally(() => {
        this.#flights.delete(secretId);
        this.#listeners.reschedule(secretId);
      });
    const flight = { landed, isOvertaken: false, wasNoticed: false };
    this.#flights.set(secretId, flight);
    return flight;
  }

  /** Reads until what was read reaches the floor. A floor that moves meanwhile is the one that counts. */
  async #read(secretId: string): Promise<Entry> {
    for (let round = 0, moves = 0; ; round += 1) {
      const readAt = this.#now();
      const [top] = this.#track(secretId).floors;
      if (top && (!top.met || round > 0)) {
        const named = await this.#fetchNamed(secretId, top.versionId);
        if (named?.stages.includes('AWSCURRENT') && reaches(named, this.#track(secretId).floors)) {
          return this.#keep(secretId, named, readAt);
        }
      }
      const current = await this.#fetch(secretId);
      const track = this.#track(secretId);
      const moved = track.floors[0]?.versionId !== top?.versionId && moves < UNMET_MAX;
      if (!moved && !reaches(current, track.floors)) track.miss(round);
      if (reaches(current, track.floors)) return this.#keep(secretId, current, readAt);
      if (moved) moves += 1;
      else await this.#wait(track.waitAfter(round));
    }
  }

  #keep(secretId: string, read: SecretVersion, readAt: number): Entry {
    this.#assertOpen();
    const version = lentVersion(read);
    const before = this.#entries.peek(secretId);
    const track = this.#track(secretId);
    track.floors = met(track.floors, version);
    track.wasServed = true;
    const isOvertaken = this.#flights.get(secretId)?.isOvertaken;
    const ttlMs = isOvertaken ? 0 : this.#ttlMs * (1 - this.#random() / 10);
    const entry = { version, served: Promise.resolve(version), track, readAt, ttlMs };
    this.#entries.set(secretId, entry);
    if (before?.version.versionId !== version.versionId) {
      this.#listeners.tell(secretId, version);
      notifyListener((fact) => this.#onVersion(secretId, fact), version);
    }
    return entry;
  }

  async #fetchNamed(secretId: string, versionId: string): Promise<SecretVersion | undefined> {
    try {
      return await this.#fetch(secretId, versionId);
    } catch (error) {
      // A version that isn't there yet, or can't be read, is not in force. If that holds for the secret, the next read says so.
      if (error instanceof SourceUnreachableError) throw error;
      return undefined;
    }
  }

  async #fetch(secretId: string, versionId?: string): Promise<SecretVersion> {
    this.#assertOpen();
    if (!this.#track(secretId).spend()) {
      throw new SourceUnreachableError(`${secretId} was read too often; this agent holds back`);
    }
    this.#stats.fetches += 1;
    return this.#source.fetch(secretId, versionId === undefined ? {} : { versionId });
  }

  #track(secretId: string): SecretTrack {
    const known = this.#tracks.get(secretId);
    if (known) return known;
    const track = this.#entries.peek(secretId)?.track ?? new SecretTrack(this.#now);
    this.#tracks.set(secretId, track);
    return track;
  }

  #assertOpen(): void {
    if (this.#closed) throw new AgentClosedError('The secret cache is closed');
  }
}
