import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  failed,
  type RotationAlert,
  type Rotations,
  rotated,
} from '../../../functions/alert-rotation-failure/episode.ts';

interface Outcome {
  readonly ok: boolean;
  readonly second: number;
}
const at = (second: number, ms = 0) => new Date(Date.UTC(2026, 10, 24, 9, 0, second, ms)).toISOString();

/** Rotations a second or more apart, each with an id of its own. */
const outcomes = fc
  .array(fc.boolean(), { maxLength: 12 })
  .map((all): Outcome[] => all.map((ok, second) => ({ ok, second })));

function told(heard: readonly Outcome[]): { state: Rotations; alerts: RotationAlert['state'][] } {
  let state: Rotations = {};
  const alerts: RotationAlert['state'][] = [];
  for (const { ok, second } of heard) {
    const rotationId = `rotation-${second}`;
    const step = ok
      ? rotated(state, { rotationId, rotatedAt: at(second) })
      : failed(state, { rotationId, failedAt: at(second, 500) });
    if (!step) continue;
    state = step.state;
    if (step.alert) alerts.push(step.alert.state);
  }
  return { state, alerts };
}

test('events in order: one alert when failures begin, one when a rotation succeeds, repeats or not', () => {
  fc.assert(
    fc.property(outcomes, fc.boolean(), (all, twice) => {
      const turns = all.filter(({ ok }, index) => ok !== (all[index - 1]?.ok ?? true));
      const { alerts } = told(twice ? all.flatMap((one) => [one, one]) : all);
      expect(alerts).toEqual(turns.map(({ ok }) => (ok ? 'recovered' : 'failed')));
    }),
  );
});

test('events in any order: the latest rotation decides, and alerts take turns', () => {
  fc.assert(
    fc.property(
      outcomes.chain((all) =>
        fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }), fc.subarray(all)),
      ),
      ([all, shuffled, again]) => {
        const { state, alerts } = told([...shuffled, ...again]);
        const open = all.at(-1)?.ok === false;
        expect(state.failure !== undefined).toBe(open);
        expect(alerts).toEqual(alerts.map((_, index) => (index % 2 === 0 ? 'failed' : 'recovered')));
        expect(alerts.length % 2 === 1).toBe(open);
      },
    ),
  );
});

test('the last step of a rotation that fails after its label moved is no failure, in either order', () => {
  const rotation = { rotationId: 'one', rotatedAt: at(1), failedAt: at(9) };
  const first = rotated({}, rotation);
  expect(failed(first?.state ?? {}, rotation)).toBeUndefined();
  const other = failed({}, rotation);
  expect(rotated(other?.state ?? {}, rotation)).toMatchObject({ alert: { state: 'recovered' } });
});

test('a success of the same second as a failure before it ends the episode: labels are dated by the second', () => {
  const open = failed({}, { rotationId: 'one', failedAt: at(1, 200) });
  const after = rotated(open?.state ?? {}, { rotationId: 'two', rotatedAt: at(1) });
  expect(after).toMatchObject({ alert: { state: 'recovered', since: at(1, 200) } });
});

test('a second failure of an episode is part of it, and its first is when it began', () => {
  const open = failed({}, { rotationId: 'one', failedAt: at(1) });
  const later = failed(open?.state ?? {}, { rotationId: 'two', failedAt: at(5) });
  expect(later).toEqual({
    state: { success: undefined, failure: { rotationId: 'two', since: at(1), failedAt: at(5) } },
  });
});
