/** Milliseconds that only go forward. Their zero means nothing: subtract two readings. */
export type Clock = () => number;

/** 24.8 days. A timer of Node's that is set for longer runs at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** For so long, and for so many readings, the wall clock alone is believed after both clocks were looked at. */
const TRUST_MS = 50;
const TRUST_READINGS = 1_000;

interface Clocks {
  readonly monotonic?: Clock;
  readonly wall?: Clock;
  /** Does something once so many milliseconds of the monotonic clock have passed. */
  readonly after?: (ms: number, act: () => void) => void;
}

/**
 * A clock for ages. The monotonic clock stands still while a machine is suspended, and the wall clock can be set back or stand
 * still; either would stretch a bound. So each look at both goes forward by the larger of the two steps: a wall clock that is
 * set ahead makes what is held expire early, which is safe.
 *
 * Two clocks cost more than all the rest of a cached read, so between looks the wall clock is read alone. It shows a suspension
 * at the very next reading. If it is set back behind an earlier reading, or ahead by TRUST_MS, that is a look. What is left, a
 * clock that stands still or is set back to within TRUST_MS after the look, a timer ends, which goes by the monotonic clock: so
 * an age is too small by at most twice TRUST_MS (once at either end), and by what the timer is late. No timer runs in a turn of
 * the event loop that does not end; there such a clock can hide the length of that one turn, for TRUST_READINGS at most.
 */
export function steadyClock({
  monotonic = () => performance.now(),
  wall = Date.now,
  after = (ms, act) => setTimeout(act, ms).unref(),
}: Clocks = {}): Clock {
  let elapsed = 0;
  let lookedMonotonic = monotonic();
  let lookedWall = wall();
  /** How far the wall clock has come since the look, and how often it may still be believed. */
  let ahead = 0;
  let readings = 0;
  let isTimed = false;

  const look = (nowWall: number): number => {
    const nowMonotonic = monotonic();
    elapsed += Math.max(ahead, nowMonotonic - lookedMonotonic, nowWall - lookedWall);
    lookedMonotonic = nowMonotonic;
    lookedWall = nowWall;
    ahead = 0;
    readings = TRUST_READINGS;
    if (!isTimed) {
      isTimed = true;
      after(TRUST_MS, () => {
        isTimed = false;
        readings = 0;
      });
    }
    return elapsed;
  };

  return () => {
    const nowWall = wall();
    const nowAhead = nowWall - lookedWall;
    if (readings === 0 || nowAhead < ahead || nowAhead >= TRUST_MS) return look(nowWall);
    readings -= 1;
    ahead = nowAhead;
    return elapsed + nowAhead;
  };
}
