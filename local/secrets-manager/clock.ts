/** The local stack's time: real time plus an offset that only grows. */
export type Clock = {
  readonly now: () => Date;
  /** Moves the clock forward. Time that went by can't come back: a negative step is an error. */
  readonly advance: (milliseconds: number) => void;
};

/** @example const clock = createClock(); clock.advance(24 * 3_600_000); // tomorrow */
export function createClock(realTime: () => number = Date.now): Clock {
  let offset = 0;
  return {
    now: () => new Date(realTime() + offset),
    advance(milliseconds) {
      if (!Number.isFinite(milliseconds) || milliseconds < 0) {
        throw new RangeError('a clock moves forward only');
      }
      offset += milliseconds;
    },
  };
}
