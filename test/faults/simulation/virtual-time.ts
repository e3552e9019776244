export const minute = 60_000;

/**
 * Time that passes from one event to the next. Between two events everything that needs no time comes to rest, so that what
 * runs, runs in one order: that of the events.
 */
interface Due {
  readonly at: number;
  readonly order: number;
  readonly work: () => void;
}

export class VirtualTime {
  #now: number;
  #order = 0;
  /** A binary heap, the next event first. */
  readonly #heap: Due[] = [];

  constructor(start: number) {
    this.#now = start;
  }

  readonly now = (): number => this.#now;

  get pending(): number {
    return this.#heap.length;
  }

  after(ms: number, work: () => void): void {
    this.#push({ at: this.#now + Math.max(0, ms), order: this.#order++, work });
  }

  readonly sleep = (ms: number): Promise<void> => new Promise((resolve) => this.after(ms, resolve));

  /** Runs the events up to a time, then stands at it. `afterEach` sees the world at rest. */
  async runUntil(end: number, afterEach: () => boolean): Promise<void> {
    await rest();
    for (let next = this.#heap[0]; next && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      this.#now = next.at;
      next.work();
      await rest();
      if (!afterEach()) return;
    }
    this.#now = Math.max(this.#now, end);
  }

  #push(due: Due): void {
    const heap = this.#heap;
    heap.push(due);
    let at = heap.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#swapped(parent, at)) return;
      at = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const child = right < heap.length && sooner(heap[right], heap[left]) ? right : left;
      if (child >= heap.length || !this.#swapped(at, child)) return;
      at = child;
    }
  }

  /** Puts the sooner one of the two above. False where it is there already. */
  #swapped(parent: number, child: number): boolean {
    const [one, other] = [this.#heap[parent], this.#heap[child]];
    if (!one || !other || !sooner(other, one)) return false;
    this.#heap[parent] = other;
    this.#heap[child] = one;
    return true;
  }
}

function sooner(one: Due | undefined, other: Due | undefined): boolean {
  if (!one || !other) return false;
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

/**
 * Every promise that needs no time settles before this does: Node.js runs all microtasks before the next tick. Nothing here waits
 * for input or output, so the turn of the event loop that `setImmediate` would cost a system call for is left out.
 */
const rest = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
