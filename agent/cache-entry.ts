import type { SecretHealth } from './cache-report.ts';
import type { SecretTrack } from './secret-track.ts';
import type { SecretVersion } from './secret-version.ts';
import { reaches } from './version-floor.ts';

/** What a cache holds of a secret. All times are milliseconds by the cache's clock. */
export interface Entry {
  readonly version: SecretVersion;
  /** The version, for all who ask. */
  readonly served: Promise<SecretVersion>;
  readonly track: SecretTrack;
  /** When the read that showed it in force began. */
  readonly readAt: number;
  readonly ttlMs: number;
}

/** A read of a secret that is under way. */
export interface Flight {
  readonly landed: Promise<Entry>;
  /** What was held was invalidated after it began, so it may not know why. */
  isOvertaken: boolean;
  /** A notice came after it began: if it fails, that is no reason to let the notice wait. */
  wasNoticed: boolean;
}

/** How it stands with a secret at a time; undefined where there is nothing to tell. */
export function healthOf(
  secretId: string,
  track: SecretTrack,
  entry: Entry | undefined,
  { now, staleMs }: { readonly now: number; readonly staleMs: number },
): SecretHealth | undefined {
  const ageMs = now - (entry?.readAt ?? Number.NEGATIVE_INFINITY);
  const isBelow = entry && !reaches(entry.version, track.floors);
  const isFresh = entry && !isBelow && ageMs < entry.ttlMs;
  if (!isFresh && !isBelow && (!track.failure || track.isSlip(staleMs))) return undefined;
  const error = track.failure?.error;
  const failure = error instanceof Error ? { failure: error.name } : {};
  if (!entry || isBelow || ageMs > staleMs) return { secretId, state: 'unavailable', ...failure };
  const state = isFresh ? 'fresh' : 'stale';
  return { secretId, state, versionId: entry.version.versionId, ageMs, ...failure };
}
