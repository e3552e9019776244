import { AsyncLocalStorage } from 'node:async_hooks';
import type { Faults } from './faults.ts';
import type { Random } from './random.ts';
import type { Troubles } from './troubles.ts';
import type { VirtualTime } from './virtual-time.ts';

/** One run of a function, or an agent's process. Whatever it asks of the outside passes through `outside`. */
export interface Invocation {
  readonly name: string;
  readonly random: Random;
  readonly mortal: boolean;
  /** How far its clock is from the true time. */
  skewMs: number;
  calls: number;
  /** Not killed. What it still does when it has ended goes on, as in an environment that Lambda thaws for the next event. */
  alive: boolean;
  ended: boolean;
  /** What happens at its death: sockets close. */
  readonly atDeath: (() => void)[];
  readonly died: () => void;
}

export interface Surroundings {
  readonly time: VirtualTime;
  readonly faults: Faults;
  readonly troubles: Troubles;
  /** Told of all that happens, in words: how a run is looked at. */
  readonly trace?: ((what: string) => void) | undefined;
}

const storage = new AsyncLocalStorage<Invocation>();

export const currentInvocation = (): Invocation | undefined => storage.getStore();

export class KilledError extends Error {
  override readonly name = 'KilledError';
}

/** What a killed process is left with: no answer, no exception, no `finally`. */
const nothing = (): Promise<never> => new Promise(() => undefined);

function kill(invocation: Invocation): void {
  if (!invocation.alive || invocation.ended) return;
  invocation.alive = false;
  for (const end of invocation.atDeath) end();
  invocation.died();
}

/** Runs a function as its own process. @throws KilledError where it died or ran out of time, else what it threw. */
export function invoke<T>(
  { time, faults, trace }: Surroundings,
  options: { readonly name: string; readonly random: Random; readonly timeoutMs: number },
  work: () => Promise<T>,
): Promise<T> {
  const { name, random, timeoutMs } = options;
  return new Promise<T>((resolve, reject) => {
    const off = faults.strikes('clock off', 0.05, random, `${name}`);
    const skew = random.between(-300_000, 300_000);
    const invocation: Invocation = {
      name,
      random,
      mortal: true,
      skewMs: off ? skew : 0,
      calls: 0,
      alive: true,
      ended: false,
      atDeath: [],
      died: () => {
        trace?.(`${name} was killed`);
        reject(new KilledError(`${name} was killed`));
      },
    };
    const done = <V>(settle: (value: V) => void) => {
      return (value: V) => {
        if (!invocation.alive) return;
        invocation.ended = true;
        trace?.(`${name} ended${value instanceof Error ? ` with ${value.name}: ${value.message}` : ''}`);
        settle(value);
      };
    };
    const own = random.fork('clock');
    if (faults.strikes('clock set back', 0.02, own, name)) {
      time.after(own.between(1, 400), () => {
        invocation.skewMs -= own.between(1, 300_000);
      });
    }
    time.after(timeoutMs, () => kill(invocation));
    storage.run(invocation, () => void work().then(done(resolve), done(reject)));
  });
}

/** An agent's process: it isn't killed, and its calls can fail. */
export function asAgent<T>(name: string, random: Random, work: () => T): T {
  return storage.run(
    {
      name,
      random,
      mortal: false,
      skewMs: 0,
      calls: 0,
      alive: true,
      ended: false,
      atDeath: [],
      died: () => undefined,
    },
    work,
  );
}

export interface OutsideCall<T> {
  readonly operation: string;
  readonly effect: () => T | Promise<T>;
  /** What the caller gets instead of an answer: the call had no effect, or its answer got lost. */
  readonly refusal: () => Error;
  readonly loss: () => Error;
  /** An SDK sends a call again whose answer got lost. */
  readonly resends?: boolean;
}

/** A call of the outside, which takes time and may go wrong in each way that a network has. */
export async function outside<T>(world: Surroundings, call: OutsideCall<T>): Promise<T> {
  const { time, faults, troubles, trace } = world;
  const { operation, effect, refusal, loss, resends = false } = call;
  const me = storage.getStore();
  if (!me) return effect();
  me.calls += 1;
  const { random } = me;
  const source = `${me.name}/${me.calls}`;
  const strikes = (kind: Parameters<Faults['strikes']>[0], probability: number) =>
    faults.strikes(kind, probability, random, source);
  const [there, back] = [random.between(1, 40), random.between(1, 40)];
  const slow = strikes('slow', 0.01) ? random.between(1_000, 8_000) : 0;
  const killedBefore = me.mortal && strikes('killed before', 0.008);
  const killedAfter = me.mortal && strikes('killed after', 0.008);
  const refused = strikes('refused', 0.012);
  const lost = strikes('reply lost', 0.01);
  if (slow > 0 || killedBefore || killedAfter || refused || lost) troubles.note(me.name);
  if (killedBefore) {
    kill(me);
    return nothing();
  }
  await time.sleep(there + slow);
  if (!me.alive) return nothing();
  if (refused) throw refusal();
  let outcome = await settled(effect);
  trace?.(`${source} ${operation}${'error' in outcome ? ` refused: ${nameOf(outcome.error)}` : ''}`);
  if (killedAfter) {
    kill(me);
    return nothing();
  }
  if (lost) {
    if (!resends || random.chance(0.5)) {
      await time.sleep(back);
      if (!me.alive) return nothing();
      throw loss();
    }
    await time.sleep(random.between(100, 1_000));
    if (!me.alive) return nothing();
    outcome = await settled(effect);
  }
  await time.sleep(back);
  if (!me.alive) return nothing();
  if ('error' in outcome) throw outcome.error;
  return outcome.value;
}

export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error ? `${error.name} ${String(error.code)}` : error.name;
}

async function settled<T>(effect: () => T | Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await effect() };
  } catch (error) {
    return { error };
  }
}
