import type { Clock } from './clock.ts';
import type { SecretVersion } from './secret-version.ts';

/** All durations are in milliseconds. */
export interface SecretCacheOptions {
  /** How long a read is served before the secret is read again; each takes up to a tenth off. Default: 5 minutes. */
  readonly ttlMs?: number | undefined;
  /** The hard bound: how long a read may be served while the source is out of reach. Default: 1 hour. */
  readonly staleMs?: number | undefined;
  /** The most secrets whose values are held; the one used longest ago goes first. Default: 100. */
  readonly maxEntries?: number | undefined;
  /** Ages are measured by it. Default: one that neither a suspended machine nor a wall clock set back holds up. */
  readonly now?: Clock | undefined;
  /** Waits, by the same clock, between reads of a version that doesn't show yet. Default: a timer. */
  readonly wait?: ((ms: number) => Promise<void>) | undefined;
  /** Does something later, unless it is disposed of before. Default: a timer that keeps no process alive. */
  readonly after?: ((ms: number, act: () => void) => Disposable) | undefined;
  /** From 0 up to 1. */
  readonly random?: (() => number) | undefined;
  /** Told of every version that comes in, of every secret. */
  readonly onVersion?: ((secretId: string, version: SecretVersion) => void) | undefined;
  /** Told of every secret of which nothing is held any more. */
  readonly onForgotten?: ((secretId: string) => void) | undefined;
}

/** A timer that keeps no process alive. */
export const unheldTimer: NonNullable<SecretCacheOptions['after']> = (ms, act) => {
  const timer = setTimeout(act, ms).unref();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
};
