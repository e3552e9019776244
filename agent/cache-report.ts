/** What a cache has done since it was made. */
export interface CacheStats {
  /** Served from what was held. */
  readonly hits: number;
  /** Had to wait for a read. */
  readonly misses: number;
  /** Requests to the source, those in the background and those that failed included. */
  readonly fetches: number;
  readonly failedReads: number;
  /** Served past their TTL, because the source could not be read. */
  readonly servedStale: number;
}

/** What several caches have done together. */
export function sumOf(all: readonly CacheStats[]): CacheStats {
  const sum = (of: (stats: CacheStats) => number) => all.reduce((total, stats) => total + of(stats), 0);
  return {
    hits: sum(({ hits }) => hits),
    misses: sum(({ misses }) => misses),
    fetches: sum(({ fetches }) => fetches),
    failedReads: sum(({ failedReads }) => failedReads),
    servedStale: sum(({ servedStale }) => servedStale),
  };
}

/** How it stands with a secret that is held fresh, or that could not be had. */
export interface SecretHealth {
  readonly secretId: string;
  /** `fresh`: within its TTL. `stale`: past it, and served while the source is out of reach. `unavailable`: not served. */
  readonly state: 'fresh' | 'stale' | 'unavailable';
  readonly versionId?: string;
  /** Milliseconds since the read that showed the version in force. */
  readonly ageMs?: number;
  /** The class of the last read's failure, until a read succeeds. */
  readonly failure?: string;
}
