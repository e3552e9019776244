import fc from 'fast-check';
import { expect, it } from 'vitest';
import { paced } from '../../../shared/secrets-manager/pace.ts';

it('however many ask, and whenever, no second has more turns than were allowed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 2_000 }), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 50 }),
      async (gaps, perSecond) => {
        let time = 0;
        const taken: number[] = [];
        const turn = paced(perSecond, {
          now: () => time,
          pause: async (ms) => void taken.push(time + ms),
        });
        for (const gap of gaps) {
          time += gap;
          const before = taken.length;
          await turn();
          if (taken.length === before) taken.push(time);
        }
        for (const start of taken) {
          const within = taken.filter((each) => each >= start && each < start + 999);
          expect(within.length).toBeLessThanOrEqual(perSecond);
        }
      },
    ),
    { numRuns: 300 },
  );
});

it('nobody waits who comes late enough', async () => {
  let time = 0;
  const pauses: number[] = [];
  const turn = paced(10, { now: () => time, pause: async (ms) => void pauses.push(ms) });
  for (let index = 0; index < 5; index += 1) {
    await turn();
    time += 100;
  }
  expect(pauses).toEqual([]);
});
