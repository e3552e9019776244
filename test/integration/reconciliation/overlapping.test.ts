import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresForTests } from '../rotation/setting.ts';
import { fleetOn, hourMs } from './fleet.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

it('a reconciler that looked before an episode began and ended, and reports after it, tells on-call nothing', async () => {
  let meanwhile: (() => Promise<unknown>) | undefined;
  const fleet = fleetOn(server, {
    async elsewhere(work) {
      const first = meanwhile;
      meanwhile = undefined;
      await first?.();
      return work();
    },
  });
  const told = () => fleet.alerts.map(({ state }) => state);
  const agent = await fleet.addAgent('overlapping');
  await fleet.rotate(agent);
  fleet.clock.advance(2 * hourMs);
  // It is about to revoke what another one finds, revokes and tells meanwhile. A repeated revocation says that it revoked too.
  meanwhile = async () => {
    await fleet.reconcile();
    await fleet.reconcile();
    expect(told()).toEqual(['found', 'recovered']);
  };
  const { findings } = await fleet.reconcile();
  expect(findings).toMatchObject([{ kind: 'superseded-still-valid', outcome: 'repaired' }]);
  expect(told()).toEqual(['found', 'recovered']);
  // What is amiss later is told of again.
  await fleet.rotate(agent);
  fleet.clock.advance(2 * hourMs);
  await fleet.reconcile();
  expect(told()).toEqual(['found', 'recovered', 'found']);
});
