import type { Random } from './random.ts';

/** What may go wrong with one outside call, or one delivery. */
export const faultKinds = [
  /** The function dies before the call is sent. */
  'killed before',
  /** The function dies after the call took effect. */
  'killed after',
  /** Throttled, 5xx, refused: no effect. */
  'refused',
  /** The call took effect, and its answer got lost; an SDK may send it again. */
  'reply lost',
  /** A read that sees the state of up to 5 s ago. */
  'stale read',
  /** All that a function reads is as old. */
  'lagging replica',
  'slow',
  'duplicated',
  'dropped',
  'late',
  'a day late',
  /** A copy of an event in a schema that nobody knows. */
  'unknown schema',
  /** EventBridge answers 200, and has not taken an event. */
  'event refused',
  'kms denied',
  'target down',
  'target hanging',
  /** The server has no connection left to give. */
  'target full',
  /** The server refuses new passwords, by a policy that somebody turned on. */
  'password refused',
  'vault sealed',
  /** The clock of a function is up to 5 minutes off. */
  'clock off',
  /** The clock of a function is set back by up to 5 minutes while it runs. */
  'clock set back',
  /** Somebody takes AWSPENDING off a rotation that is stuck, and begins another. */
  'abandoned',
  /** Another rotation is asked for as soon as one is over. */
  'asked again',
  /** Somebody asks for a revocation before grace is over. */
  'asked early',
  /** The same step is run by two functions at once. */
  'concurrent',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  readonly id: string;
  readonly kind: FaultKind;
}

/** Decides whether a fault strikes. Each one has a name of its own by which a shrunk run leaves it out. */
export class Faults {
  readonly struck: Fault[] = [];
  /** The outages that somebody met, each once. */
  readonly #outages = new Map<string, FaultKind>();
  readonly #kinds: ReadonlySet<FaultKind>;
  readonly #without: ReadonlySet<string>;
  #on = true;

  constructor({ kinds, without }: { kinds: readonly FaultKind[]; without: readonly string[] }) {
    this.#kinds = new Set(kinds);
    this.#without = new Set(without);
  }

  /** From here on nothing goes wrong any more. */
  end(): void {
    this.#on = false;
  }

  get on(): boolean {
    return this.#on;
  }

  /** Whether a fault that lasts counts now. `outage` names this one of its kind. */
  prevails(kind: FaultKind, outage: string): boolean {
    if (!this.#on || !this.#kinds.has(kind)) return false;
    this.#outages.set(outage, kind);
    return true;
  }

  /** How often each kind struck; of what lasts, how many outages somebody met. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const kind of [...this.struck.map((one) => one.kind), ...this.#outages.values()]) {
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }

  strikes(kind: FaultKind, probability: number, random: Random, source: string): boolean {
    // The number is drawn whether or not it counts, so that leaving a fault out leaves the others where they were.
    if (!random.chance(probability) || !this.#on || !this.#kinds.has(kind)) return false;
    const id = `${source}:${kind}`;
    if (this.#without.has(id)) return false;
    this.struck.push({ id, kind });
    return true;
  }
}
