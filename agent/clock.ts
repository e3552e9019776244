/** Milliseconds that only go forward. Their zero means nothing: subtract two readings. */
export type Clock = () => number;

/**
 * A clock for ages. The monotonic clock stands still while a machine is suspended, and the wall clock can be set back;
 * either would stretch a bound. So each reading goes forward by the larger of the two steps: a wall clock that is set ahead
 * makes what is held expire early, which is safe.
 */
export function steadyClock(monotonic: Clock = () => performance.now(), wall: Clock = Date.now): Clock {
  let lastMonotonic = monotonic();
  let lastWall = wall();
  let elapsed = 0;
  return () => {
    const nowMonotonic = monotonic();
    const nowWall = wall();
    elapsed += Math.max(0, nowMonotonic - lastMonotonic, nowWall - lastWall);
    lastMonotonic = nowMonotonic;
    lastWall = nowWall;
    return elapsed;
  };
}
