import type { FaultKind } from './faults.ts';
import type { Surroundings } from './invocation.ts';
import type { Random } from './random.ts';

const longestRunMs = 10 * 86_400_000;

/** One window after another in which a part is out of order, the same for all that share it. Asked in the order of time. */
export function outages(
  { time, faults, random }: Surroundings & { readonly random: Random },
  label: string,
  kind: FaultKind,
  { every, longest }: { readonly every: number; readonly longest: number },
): () => boolean {
  const own = random.fork(label);
  const start = time.now();
  const windows: [number, number][] = [];
  for (
    let at = start + own.between(0, every);
    at < start + longestRunMs;
    at += own.between(every / 2, 2 * every)
  ) {
    windows.push([at, at + own.between(5_000, longest)]);
  }
  let next = 0;
  return () => {
    const now = time.now();
    while ((windows[next]?.[1] ?? Number.POSITIVE_INFINITY) < now) next += 1;
    const inside = (windows[next]?.[0] ?? Number.POSITIVE_INFINITY) <= now;
    return inside && faults.prevails(kind, `${label}/${next}`);
  };
}
