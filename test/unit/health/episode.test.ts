import fc from 'fast-check';
import { expect, test } from 'vitest';
import { recordProbe } from '../../../functions/check-backend-health/record-probe.ts';
import { defaultRule, type Health, type Problem, probed, unprobed } from '../../../shared/health/episode.ts';
import type { HealthState } from '../../../shared/state/health-state.ts';
import { recordsInMemory } from '../state/in-memory.ts';

const problem: Problem = { severity: 'unhealthy', reason: 'Vault is sealed' };

test('sends exactly one alert when an episode opens and one when it ends', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (probes) => {
      let health: Health = unprobed;
      let open = false;
      probes.forEach((ok, minute) => {
        const last = probes.slice(Math.max(0, minute - 2), minute + 1);
        const failures = last.filter((good) => !good).length;
        const expected = !open && failures >= 2 ? 'opened' : open && failures === 0 ? 'recovered' : undefined;
        const step = probed(health, { at: String(minute), ...(!ok && { problem }) });
        expect(step.alert?.kind).toBe(expected);
        if (expected) open = expected === 'opened';
        expect(step.health.state).toBe(open ? 'unhealthy' : 'healthy');
        health = step.health;
      });
    }),
  );
});

test('alerts once under concurrent and repeated runs, and on a later run after a crash before SNS', async () => {
  const state: HealthState = recordsInMemory();
  const sent: string[] = [];
  let crash = true;
  const run = (minute: number) =>
    recordProbe('vault', problem, `run-${minute}`, {
      state,
      rule: defaultRule,
      now: () => new Date(minute * 60_000),
      send: async (_, { kind }) => {
        if (crash) throw new Error('killed');
        sent.push(kind);
      },
    });
  await run(1);
  await expect(run(2)).rejects.toThrow('killed');
  crash = false;
  await Promise.all([run(3), run(3)]);
  await run(3);
  await run(4);
  expect(sent).toEqual(['opened']);
});
