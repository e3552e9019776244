import type { Kept, Records } from '../../../shared/state/records.ts';

/** The state table's promise, without the table: a write counts only where nobody wrote since the read. */
export function recordsInMemory<State, Alert>(): Records<State, Alert> {
  const stored = new Map<string, Kept<State, Alert>>();
  return {
    read: async (key) => stored.get(key),
    write: async (key, next) => {
      const now = stored.get(key);
      if (now && now.revision !== next.revision) return false;
      stored.set(key, { ...next, revision: next.revision + 1 });
      return true;
    },
  };
}
