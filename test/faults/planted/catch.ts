import { rm } from 'node:fs/promises';
import { bundleWorker } from '../bundle.ts';
import { planOf } from '../simulation/plans.ts';
import { SimulationThread } from '../simulation/threads.ts';
import type { Defect } from './defects.ts';

export interface Caught {
  readonly defect: string;
  /** The invariant that it broke; undefined where nothing noticed. */
  readonly by: string | undefined;
  readonly seed: number;
}

/** Runs small worlds with the defect in the code, until an invariant breaks or the seeds are used up. */
export async function caught({ name, change }: Defect, bundle: string, seeds: number): Promise<Caught> {
  await bundleWorker(bundle, [change]);
  await using thread = new SimulationThread(bundle);
  try {
    for (let seed = 1; seed <= seeds; seed += 1) {
      const { violations } = await thread.run(planOf(seed, { secrets: 15, rotations: 8 }));
      const [first] = violations;
      if (first) return { defect: name, by: first.invariant, seed };
    }
    return { defect: name, by: undefined, seed: seeds };
  } finally {
    await rm(bundle, { force: true });
  }
}
