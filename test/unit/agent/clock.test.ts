import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { type Clock, steadyClock } from '../../../agent/clock.ts';

/** A machine's two clocks, and its timers, which run when a turn of its event loop ends. */
class Machine {
  monotonic = 0;
  wall = 1e12;
  looks = 0;
  #timers: { readonly at: number; readonly act: () => void }[] = [];
  readonly now: Clock = steadyClock({
    monotonic: () => {
      this.looks += 1;
      return this.monotonic;
    },
    wall: () => this.wall,
    after: (ms, act) => this.#timers.push({ at: this.monotonic + ms, act }),
  });

  /** Time passes within a turn of the event loop. */
  step(monotonicMs: number, wallMs: number): void {
    this.monotonic += monotonicMs;
    this.wall += wallMs;
  }

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.length;
  }

  turn(): void {
    const due = this.#timers.filter(({ at }) => at <= this.monotonic);
    this.#timers = this.#timers.filter(({ at }) => at > this.monotonic);
    for (const { act } of due) act();
  }
}

/** As `Machine.step`: ordinary time, suspensions, clocks set, standing still, and set back to just where they were. */
const passing = fc.oneof(
  fc.nat(200).map((ms) => [ms, ms] as const),
  fc.nat(1e6).map((ms) => [0, ms] as const),
  fc.nat(1e6).map((ms) => [ms, 0] as const),
  fc.tuple(fc.oneof(fc.nat(20), fc.nat(1e6)), fc.integer({ min: -120, max: 120 })),
  fc.tuple(fc.nat(300), fc.integer({ min: -1e9, max: 1e9 })),
);

describe('the clock that ages are measured by', () => {
  let machine: Machine;
  let before: number;
  beforeEach(() => {
    machine = new Machine();
    before = machine.now();
  });
  const age = () => machine.now() - before;

  test('goes on while the monotonic one stands still, as on a suspended machine, at the first reading after', () => {
    machine.step(5, 3_600_000);
    expect(age()).toBe(3_600_000);
  });

  test('goes on while the wall clock is set back', () => {
    machine.step(1_000, -86_400_000);
    expect(age()).toBe(1_000);
    machine.step(1_000, 1_000);
    expect(age()).toBe(2_000);
  });

  test('goes on while the wall clock stands still, or is set back to just after where it was', () => {
    for (let passed = 0; passed < 3_600_000; passed += 10_000) {
      machine.step(10_000, 1);
      machine.turn();
      expect(age()).toBe(passed + 10_000);
    }
  });

  test('in a turn of the event loop that does not end, is held up for a thousand readings at most', () => {
    machine.step(3_600_000, 0);
    const ages = Array.from({ length: 1_001 }, age);
    expect(ages.at(-1)).toBe(3_600_000);
  });

  test('mostly reads one clock', () => {
    machine.looks = 0;
    for (let ms = 0; ms < 1_000; ms += 1) {
      for (let reading = 0; reading < 20; reading += 1) machine.now();
      machine.step(1, 1);
      machine.turn();
    }
    expect(age()).toBe(1_000);
    expect(machine.looks).toBeLessThanOrEqual(45);
  });

  test('looks at both once the wall clock is 50 ms ahead of the last look', () => {
    machine.looks = 0;
    machine.step(0, 49);
    machine.now();
    expect(machine.looks).toBe(0);
    machine.step(0, 1);
    machine.now();
    expect(machine.looks).toBe(1);
  });

  test('sets one timer, however often it looks before that ends', () => {
    for (let looks = 0; looks < 3; looks += 1) {
      machine.step(0, 60);
      machine.now();
    }
    expect(machine.timers).toBe(1);
  });

  test("by default goes by the machine's own clocks and timers", () => {
    vi.useFakeTimers({ now: 1e12, toFake: ['performance', 'Date', 'setTimeout'] });
    try {
      const now = steadyClock();
      const first = now();
      vi.advanceTimersByTime(10_000);
      expect(now() - first).toBe(10_000);
      vi.advanceTimersByTime(10_000);
      vi.setSystemTime(0);
      expect(now() - first).toBe(20_000);
      vi.advanceTimersByTime(10_000);
      vi.setSystemTime(1);
      expect(now() - first).toBe(30_000);
    } finally {
      vi.useRealTimers();
    }
  });

  test('never goes back, and between any two readings goes no less far than the wall clock, nor than the monotonic one less 100 ms', () => {
    fc.assert(
      fc.property(fc.array(passing, { maxLength: 40 }), (steps) => {
        const own = new Machine();
        const readings = steps.map(([monotonicMs, wallMs]) => {
          own.step(monotonicMs, wallMs);
          own.turn();
          return { at: own.now(), monotonic: own.monotonic, wall: own.wall };
        });
        for (const [index, later] of readings.entries()) {
          for (const earlier of readings.slice(0, index)) {
            const went = later.at - earlier.at;
            expect(went).toBeGreaterThanOrEqual(0);
            expect(went).toBeGreaterThanOrEqual(later.wall - earlier.wall);
            expect(went).toBeGreaterThanOrEqual(later.monotonic - earlier.monotonic - 100);
          }
        }
      }),
    );
  });

  test('is never behind one that looks at both clocks, whenever it looks itself', () => {
    fc.assert(
      fc.property(fc.array(passing, { maxLength: 60 }), (steps) => {
        const own = new Machine();
        const last = { at: own.now(), monotonic: own.monotonic, wall: own.wall };
        for (const [monotonicMs, wallMs] of steps) {
          own.step(monotonicMs, wallMs);
          own.turn();
          const { looks } = own;
          const at = own.now();
          const model = last.at + Math.max(0, own.monotonic - last.monotonic, own.wall - last.wall);
          expect(at).toBeGreaterThanOrEqual(model - 50);
          if (own.looks === looks) continue;
          expect(at).toBeGreaterThanOrEqual(model);
          Object.assign(last, { at: model, monotonic: own.monotonic, wall: own.wall });
        }
      }),
    );
  });
});
