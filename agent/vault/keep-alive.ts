import { errorClassOf } from '../../shared/observability/error-class.ts';
import type { Clock } from '../clock.ts';
import { type AgentLog, warn } from '../log.ts';

export interface Timing {
  readonly now: Clock;
  /** Milliseconds. Rejects when the signal aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** What Vault gives for a time: a token, or the lease of a login. Times by the timing's clock, in milliseconds. */
export interface Expiring {
  renewable: boolean;
  expiresAt: number;
}

/** How whoever holds something that expires keeps it. */
export interface Keeping {
  readonly expiring: Expiring;
  readonly timing: Timing;
  readonly closing: AbortSignal;
  readonly log: AgentLog | undefined;
  /** What the log calls it. */
  readonly what: string;
  /** Whether nothing else has taken its place, and its holder isn't closing. */
  isHeld(): boolean;
  /** False where a renewal brings no more. */
  renew(): Promise<boolean>;
  /** Puts another in its place. */
  replace(): Promise<unknown>;
}

/** Keeps it alive until another takes its place. */
export async function keepAlive(keeping: Keeping): Promise<void> {
  const { expiring, timing, closing, isHeld } = keeping;
  while (isHeld()) {
    let now = timing.now();
    const dueAt = now + dueAfter(expiring.expiresAt - now, timing.random());
    for (; now < dueAt && isHeld(); now = timing.now()) {
      await timing.wait(Math.min(dueAt - now, SLICE_MS), closing).catch(() => undefined);
    }
    await prolong(keeping);
  }
}

/** Gives it more time, or puts another in its place. Tries until one or the other is so; a login may give the very token that is held. */
export async function prolong(keeping: Keeping): Promise<void> {
  const { expiring, timing, closing, log, what, isHeld, renew, replace } = keeping;
  for (let failures = 1; isHeld(); failures += 1) {
    try {
      if (expiring.renewable && (await renew())) return;
      // Whoever needs it may have got another meanwhile. It may also be given the same again, if somebody else has renewed that.
      if (isHeld()) await replace();
      return;
    } catch (error) {
      if (!isHeld()) return;
      // Vault is away, or refuses. When what it gave has ended meanwhile, whoever needs it is told.
      warn(log, 'What Vault gave could be neither renewed nor replaced', {
        what,
        error: errorClassOf(error),
      });
      const pauseMs = pauseAfter(failures, expiring.expiresAt - timing.now(), timing.random());
      await timing.wait(pauseMs, closing).catch(() => undefined);
    }
  }
}

const LEAST_MS = 1_000;
/** Timers stand still while a machine is suspended, and leases don't: after so long at most, the clock is looked at. */
const SLICE_MS = 30_000;
const PAUSE_MS = { first: 2_000, most: 60_000 };

/** Twice as long as the one before, but short where the end is near, and down to half of it, so that a fleet doesn't ask at once. */
function pauseAfter(failures: number, leftMs: number, random: number): number {
  const most = leftMs > 0 ? Math.min(PAUSE_MS.most, Math.max(PAUSE_MS.first, leftMs / 4)) : PAUSE_MS.most;
  return Math.min(most, PAUSE_MS.first * 2 ** (failures - 1)) * (0.5 + random / 2);
}

/** A renewal that gives less than half of what was given at first has met the max TTL: time for another. */
export const isWorthKeeping = (renewed: number, first: number) => renewed >= first / 2;

/**
 * When something that lives for another `ttlMs` is due: at two thirds, up to a tenth earlier, so that a fleet isn't due at once. Not
 * sooner than in a second: what is given the same again until it ends would be due ever sooner.
 */
function dueAfter(ttlMs: number, random: number): number {
  return Math.max(LEAST_MS, ttlMs * (2 / 3) * (1 - random / 10));
}
