import { AsyncLocalStorage } from 'node:async_hooks';
import pg from 'pg';
import type { Watch } from '../../integration/reconciliation/fleet.ts';

/** The last is of AWS's clients alone, which ask again by themselves, and may be told no for what their first call has done. */
export const moments = [
  'killed before it',
  'done, its reply lost',
  'killed after it',
  'done, its reply lost, asked again',
] as const;

/** Where a run is struck: at its nth outside call. */
export interface Point {
  readonly nth: number;
  readonly call: string;
  readonly moment: (typeof moments)[number];
}

class KilledError extends Error {
  override readonly name = 'KilledError';
}

/** Without a code, an AWS client takes it for the last of its attempts. */
class ReplyLostError extends Error {
  override readonly name = 'ReplyLostError';
  readonly code: 'ECONNRESET' | undefined;
  constructor(code?: 'ECONNRESET') {
    super();
    this.code = code;
  }
}

/** One run of a function. It is told of each outside call, and notes them in their order. */
export interface Run extends Watch {
  readonly calls: readonly string[];
  /** Whether the nth call is one whose client asks again. */
  isAskedAgain(nth: number): boolean;
  /** The call that it was, which beside another run need not be the point's: that has its number only. */
  struckAt(): Point | undefined;
  /** What `work` asks of PostgreSQL is this run's too. */
  within<T>(work: () => Promise<T>): Promise<T>;
}

const runs = new AsyncLocalStorage<Run>();

/** What another function does for a run isn't the run's own: it goes on when that dies. */
export const outsideOfRuns = <T>(work: () => T): T => runs.exit(work);

/**
 * A run that is struck at the point, or only recorded. Killed, it makes no other call, not even in a `finally`. Where a reply was
 * lost it lives on, and does what the code does about an error. Of calls at the same time, the first reply is the lost one.
 */
export function runStruckAt(point?: Point): Run {
  const calls: string[] = [];
  const askedAgain = new Set<number>();
  let isDead = false;
  let struckAt: Point | undefined;
  const killed = () => {
    if (isDead) throw new KilledError();
  };
  const run: Run = {
    calls,
    isAskedAgain: (nth) => askedAgain.has(nth),
    before(call, asksAgain = false) {
      killed();
      calls.push(call);
      if (asksAgain) askedAgain.add(calls.length);
      if (calls.length !== point?.nth || point.moment !== 'killed before it') return;
      struckAt = { ...point, call };
      isDead = true;
      killed();
    },
    after(call) {
      killed();
      if (!point || struckAt || calls.length < point.nth) return;
      struckAt = { ...point, call };
      if (point.moment === 'done, its reply lost') throw new ReplyLostError();
      if (point.moment === 'done, its reply lost, asked again') throw new ReplyLostError('ECONNRESET');
      isDead = true;
      killed();
    },
    struckAt: () => struckAt,
    within: (work) => runs.run(run, work),
  };
  return run;
}

/** Tells each run of its plain HTTP requests, until it is disposed of. */
export function watchFetch(): Disposable {
  const { fetch } = globalThis;
  globalThis.fetch = async (...request) => {
    const run = runs.getStore();
    run?.before('fetch');
    const answer = await fetch(...request);
    run?.after('fetch');
    return answer;
  };
  return {
    [Symbol.dispose]() {
      globalThis.fetch = fetch;
    },
  };
}

/** Tells each run of its connections and statements, until it is disposed of. A connection whose reply was lost is broken. */
export function watchPostgres(): Disposable {
  const { prototype } = pg.Client;
  const { connect, query } = prototype;
  const broken = new WeakSet<object>();
  const watched = async (self: object, call: string, work: () => unknown) => {
    const run = runs.getStore();
    if (!run) return work();
    if (broken.has(self)) throw new ReplyLostError('ECONNRESET');
    run.before(call);
    const result = await work();
    try {
      run.after(call);
    } catch (error) {
      broken.add(self);
      throw error;
    }
    return result;
  };
  prototype.connect = new Proxy(connect, {
    apply: (target, self, args) => watched(self, 'connect', () => Reflect.apply(target, self, args)),
  });
  prototype.query = new Proxy(query, {
    apply: (target, self, args) =>
      // The first word alone: the rest of a statement may hold a password.
      watched(self, /^\w+/.exec(String(args[0]))?.[0] ?? 'query', () => Reflect.apply(target, self, args)),
  });
  return {
    [Symbol.dispose]() {
      Object.assign(prototype, { connect, query });
    },
  };
}
