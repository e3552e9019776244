import { type FaultKind, faultKinds } from './faults.ts';
import type { Plan } from './plan.ts';

export interface Size {
  readonly secrets: number;
  readonly rotations: number;
}

/** A world of one run: enough secrets for shared servers, enough rotations for versions to pile up. */
export const usualSize: Size = { secrets: 100, rotations: 15 };

export function planOf(seed: number, { secrets, rotations }: Size = usualSize): Plan {
  return {
    seed,
    secrets: Array.from({ length: secrets }, (_, index) => index),
    rotations,
    kinds: faultKinds,
    without: [],
  };
}

type Fails = (plan: Plan) => Promise<readonly string[] | undefined>;

/**
 * The smallest plan that still fails: fewer secrets, fewer rotations, fewer kinds of faults, then fewer single faults, in that
 * order. `fails` gives the faults that struck, or undefined where the run went well.
 */
export async function shrunk(plan: Plan, secret: number | undefined, fails: Fails): Promise<Plan> {
  let smallest = plan;
  const tries = async (next: Plan): Promise<boolean> => {
    if (!(await fails(next))) return false;
    smallest = next;
    return true;
  };
  if (secret !== undefined) await tries({ ...smallest, secrets: [secret] });
  for (let rotations = 1; rotations < smallest.rotations; rotations += 1) {
    if (await tries({ ...smallest, rotations })) break;
  }
  for (const kind of faultKinds) {
    const kinds: readonly FaultKind[] = smallest.kinds.filter((one) => one !== kind);
    if (kinds.length < smallest.kinds.length) await tries({ ...smallest, kinds });
  }
  const struck = (await fails(smallest)) ?? [];
  for (
    let size = Math.ceil(struck.length / 2);
    size >= 1 && struck.length <= 200;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < struck.length; at += size) {
      const fewer = [...new Set([...smallest.without, ...struck.slice(at, at + size)])];
      if (fewer.length > smallest.without.length) await tries({ ...smallest, without: fewer });
    }
  }
  return smallest;
}
