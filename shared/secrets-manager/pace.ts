export interface PaceParts {
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<unknown>;
}

/** Waits until it is the caller's turn. */
export type Turn = () => Promise<void>;

/**
 * Spreads calls evenly: so many a second, however many ask at once. Secrets Manager takes 50 puts and moves of labels a second
 * from all of an account, and 50 RotateSecret; whoever writes for a fleet leaves room for its schedules.
 *
 * @example
 * const turn = paced(10, { now: Date.now, pause: setTimeout });
 * await turn();
 */
export function paced(perSecond: number, { now, pause }: PaceParts): Turn {
  let next = 0;
  return async () => {
    const at = Math.max(next, now());
    next = at + 1_000 / perSecond;
    const ms = at - now();
    if (ms > 0) await pause(ms);
  };
}
