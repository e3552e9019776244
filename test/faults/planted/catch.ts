import { rm } from 'node:fs/promises';
import { bundleWorker } from '../bundle.ts';
import { planOf } from '../simulation/plans.ts';
import { HarnessError, SimulationThread } from '../simulation/threads.ts';
import type { Defect } from './defects.ts';

export interface Caught {
  readonly defect: string;
  /** The invariant that it broke; undefined where nothing noticed. */
  readonly by: string | undefined;
  readonly seed: number;
}

/** What saw the defect, in words. */
export const sightOf = ({ by, seed }: Caught): string =>
  by === undefined ? 'NOT CAUGHT' : `${by} (seed ${seed})`;

/** Small enough for forty defects, and large enough to meet each of them. */
export const smallWorld = { secrets: 15, rotations: 8 };

/**
 * The first seeds whose worlds hold without a defect: what breaks in one of those, the defect broke.
 *
 * @throws HarnessError where too few hold: a defect is in the code already, or the models don't know it any more.
 */
export async function soundSeeds(bundle: string, count: number): Promise<readonly number[]> {
  await bundleWorker(bundle);
  await using thread = new SimulationThread(bundle);
  const sound: number[] = [];
  for (let seed = 1; seed <= 3 * count && sound.length < count; seed += 1) {
    const { violations } = await thread.run(planOf(seed, smallWorld));
    if (violations.length === 0) sound.push(seed);
  }
  if (sound.length < count) {
    throw new HarnessError(`Of ${3 * count} small worlds without a planted defect only ${sound.length} hold`);
  }
  return sound;
}

/** Runs sound worlds with the defect in the code, until an invariant breaks or the seeds are used up. */
export async function caught(
  { name, change }: Defect,
  bundle: string,
  seeds: readonly number[],
): Promise<Caught> {
  await bundleWorker(bundle, [change]);
  await using thread = new SimulationThread(bundle);
  try {
    for (const seed of seeds) {
      const { violations } = await thread.run(planOf(seed, smallWorld));
      const [first] = violations;
      if (first) return { defect: name, by: first.invariant, seed };
    }
    return { defect: name, by: undefined, seed: seeds.at(-1) ?? 0 };
  } finally {
    await rm(bundle, { force: true });
  }
}
