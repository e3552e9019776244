import type { Surroundings } from './invocation.ts';
import type { Random } from './random.ts';

/** Who is told of an event, and how AWS goes on where that fails. */
export interface Subscriber {
  readonly name: string;
  /** `lambda`: an asynchronous invocation, tried three times. `queue`: SQS, received up to twenty times. */
  readonly by: 'lambda' | 'queue';
  readonly handle: (event: unknown) => Promise<void>;
}

interface Letter {
  readonly to: Subscriber;
  readonly event: unknown;
  readonly random: Random;
}

const retries = {
  lambda: { attempts: 3, delayMs: (attempt: number) => attempt * 60_000 },
  queue: { attempts: 20, delayMs: () => 180_000 },
} as const;

/** Two receivers of a queue may have the same message moments apart. */
const duplicates = { lambda: 0.03, queue: 0.15 } as const;

/** What a later version of a producer might send: a schema of another number, or a field that is called otherwise. */
function ofUnknownSchema(event: unknown): unknown {
  const known: unknown = typeof event === 'string' ? JSON.parse(event) : event;
  const unknown = JSON.parse(JSON.stringify(known), (key, value: unknown) => {
    if (key === 'schemaVersion') return 99;
    return key === 'detail' && typeof value === 'object'
      ? { ...value, versionId: undefined, schemaVersion: 99 }
      : value;
  });
  return typeof event === 'string' ? JSON.stringify(unknown) : unknown;
}

/** EventBridge, asynchronous invocations, SNS and SQS, as far as an event can tell: at least once, and in any order. */
export class Deliveries {
  /** What was given up, and what got lost on the way. Nobody delivers it again: reconciliation has to do without. */
  readonly dead: Letter[] = [];
  readonly #world: Surroundings;
  #sent = 0;

  constructor(world: Surroundings) {
    this.#world = world;
  }

  send(to: Subscriber, event: unknown, random: Random): void {
    const { time, faults } = this.#world;
    this.#sent += 1;
    const source = `${to.name}/${time.now()}`;
    const letter = { to, event, random };
    const copies = 1 + Number(faults.strikes('duplicated', duplicates[to.by], random, source));
    const dropped = faults.strikes('dropped', 0.01, random, source);
    const late = faults.strikes('late', 0.004, random, source);
    const lateness = random.between(600_000, 6_000_000);
    const own = random.fork(`delivery ${this.#sent}`);
    const aDayLate = faults.strikes('a day late', 0.002, own, source);
    if (faults.strikes('unknown schema', 0.004, own, source)) {
      const stranger = { to, event: ofUnknownSchema(event), random };
      time.after(own.between(20, 60_000), () => this.#attempt(stranger, 1));
    }
    if (dropped) {
      this.dead.push(letter);
      return;
    }
    for (let copy = 0; copy < copies; copy += 1) {
      const delayMs =
        random.between(20, copy === 0 ? 1_500 : 4_000) +
        (late && copy === 0 ? lateness : 0) +
        (aDayLate ? 86_400_000 : 0);
      time.after(delayMs, () => this.#attempt(letter, 1));
    }
  }

  #attempt(letter: Letter, attempt: number): void {
    const { to, event } = letter;
    const { attempts, delayMs } = retries[to.by];
    to.handle(event).catch(() => {
      if (attempt >= attempts) this.dead.push(letter);
      else this.#world.time.after(delayMs(attempt), () => this.#attempt(letter, attempt + 1));
    });
  }
}
