import { currentInvocation, invoke, type Surroundings } from './invocation.ts';
import type { Line } from './line.ts';
import type { World } from './world.ts';

/** Runs a function for one secret, as a process of its own. */
export function runOf<T>(
  world: World,
  name: string,
  line: Line,
  timeoutMs: number,
  work: () => Promise<T>,
): Promise<T> {
  line.invocations += 1;
  const run = `${line.index}/${line.invocations}/${name}`;
  return invoke(world, { name: run, random: line.random.fork(run), timeoutMs }, work);
}

/** A function's own clock, which may be off. */
export function ownClock({ time }: Surroundings): () => Date {
  return () => new Date(time.now() + (currentInvocation()?.skewMs ?? 0));
}

/** As secretsManagerTime tells it, to the second. */
export function theirClock({ time }: Surroundings): () => Date {
  return () => new Date(Math.floor(time.now() / 1_000) * 1_000);
}

/** A log that the oracle reads. */
export function logOf({ oracle }: World, line: Line) {
  const note = (...said: unknown[]) => oracle.said(line, JSON.stringify(said), 'a log line');
  return { info: note, warn: note, debug: note };
}
