import { setImmediate as turn } from 'node:timers/promises';

/** Time that passes only while everything waits for it: latencies cost no seconds of a benchmark, and add up as real ones. */
export interface VirtualTime {
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** Runs to the end, letting time pass where all of it sleeps. */
  readonly run: <T>(work: Promise<T>) => Promise<T>;
}

/** Turns of the event loop without a new sleeper after which nobody is at work: streams and promises need a few. */
const quietTurns = 12;

export function virtualTime(): VirtualTime {
  let now = 0;
  let seen = 0;
  let sleepers: { readonly at: number; readonly wake: () => void }[] = [];
  return {
    now: () => now,
    sleep: (milliseconds) =>
      new Promise((wake) => {
        seen += 1;
        sleepers.push({ at: now + milliseconds, wake });
      }),
    async run(work) {
      let isDone = false;
      const ended = work.finally(() => {
        isDone = true;
      });
      ended.catch(() => undefined);
      while (!isDone) {
        for (let quiet = 0, before = seen; quiet < quietTurns && !isDone; quiet += 1) {
          await turn();
          if (seen !== before) [quiet, before] = [0, seen];
        }
        if (isDone || sleepers.length === 0) continue;
        now = Math.min(...sleepers.map(({ at }) => at));
        const due = sleepers.filter(({ at }) => at <= now);
        sleepers = sleepers.filter(({ at }) => at > now);
        for (const { wake } of due) wake();
      }
      return ended;
    },
  };
}
