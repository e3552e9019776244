import { callerOf } from './recorded-calls.ts';

/** Who called which operation how often: the local stack's measure of what a rotation costs. */
export type CallCounts = {
  readonly operations: Readonly<Record<string, number>>;
  /** By the `keyturn/<function>` that our clients put into their user agent. */
  readonly callers: Readonly<Record<string, Readonly<Record<string, number>>>>;
};

export function createCallCounter() {
  let operations = new Map<string, number>();
  let callers = new Map<string, Map<string, number>>();
  return {
    count(operation: string, userAgent: string | undefined) {
      increment(operations, operation);
      const caller = callerOf(userAgent);
      if (caller === undefined) return;
      const own = callers.get(caller) ?? new Map<string, number>();
      callers.set(caller, own);
      increment(own, operation);
    },
    counts: (): CallCounts => ({
      operations: Object.fromEntries(operations),
      callers: Object.fromEntries([...callers].map(([caller, own]) => [caller, Object.fromEntries(own)])),
    }),
    reset() {
      operations = new Map();
      callers = new Map();
    },
  };
}

const increment = (counts: Map<string, number>, key: string) => counts.set(key, (counts.get(key) ?? 0) + 1);
