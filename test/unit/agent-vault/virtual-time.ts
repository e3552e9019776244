import { LONGEST_TIMER_MS } from '../../../agent/clock.ts';
import type { Timing } from '../../../agent/vault/keep-alive.ts';
import { settled } from '../agent/setting.ts';

/** A clock that moves when a test says so, and wakes on its way whoever waits: too early who waits too long, as Node does. */
export class VirtualTime implements Timing {
  #now = 0;
  #sleepers: { readonly at: number; readonly wake: () => void }[] = [];

  now = (): number => this.#now;
  random = (): number => 0;

  wait = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const sleeper = { at: this.#now + (ms > LONGEST_TIMER_MS ? 1 : ms), wake: resolve };
      this.#sleepers.push(sleeper);
      signal.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter(({ wake }) => wake !== resolve);
        reject(signal.reason);
      });
    });

  /** As a suspended machine does: time goes by, and no timer with it. */
  suspend(ms: number): void {
    this.#now += ms;
    this.#sleepers = this.#sleepers.map((sleeper) => ({ ...sleeper, at: sleeper.at + ms }));
  }

  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (;;) {
      const [next] = this.#sleepers.filter(({ at }) => at <= end).sort((one, other) => one.at - other.at);
      if (!next) break;
      this.#sleepers = this.#sleepers.filter((other) => other !== next);
      this.#now = next.at;
      next.wake();
      await settled();
    }
    this.#now = end;
  }
}
