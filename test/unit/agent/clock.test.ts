import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { steadyClock } from '../../../agent/clock.ts';

describe('the clock that ages are measured by', () => {
  let [monotonic, wall] = [0, 0];
  const clock = () =>
    steadyClock(
      () => monotonic,
      () => wall,
    );
  const step = (monotonicMs: number, wallMs: number) => {
    monotonic += monotonicMs;
    wall += wallMs;
  };

  test('goes on while the monotonic one stands still, as on a suspended machine', () => {
    const now = clock();
    const before = now();
    step(5, 3_600_000);
    expect(now() - before).toBe(3_600_000);
  });

  test('goes on while the wall clock is set back', () => {
    const now = clock();
    const before = now();
    step(1_000, -86_400_000);
    step(1_000, 1_000);
    expect(now() - before).toBe(2_000);
  });

  test('never goes back, and never less far than the monotonic one', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1e6), fc.integer({ min: -1e9, max: 1e9 }))), (steps) => {
        const now = clock();
        for (const [monotonicMs, wallMs] of steps) {
          const before = now();
          step(monotonicMs, wallMs);
          expect(now() - before).toBeGreaterThanOrEqual(monotonicMs);
        }
      }),
    );
  });
});
