import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../../local/root.ts';
import { bundleWorker } from '../bundle.ts';
import { planOf } from './plans.ts';
import { SimulationThread } from './threads.ts';

test('SNS refuses alerts in a simulated world, and each episode is told of once all the same', async () => {
  // Within the checkout, whose packages it imports.
  const bundle = join(root, '.keyturn/prove/alerts.mjs');
  await bundleWorker(bundle);
  await using thread = new SimulationThread(bundle);
  const plan = planOf(1, { secrets: 40, rotations: 8 });
  const { alertsRefused, violations } = await thread.run(plan);
  expect(violations).toEqual([]);
  expect(alertsRefused).toBeGreaterThan(0);
  const well = await thread.run({ ...plan, kinds: plan.kinds.filter((kind) => kind !== 'refused') });
  expect(well.alertsRefused).toBe(0);
});
