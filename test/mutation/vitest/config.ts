import { defineConfig } from 'vitest/config';
import { type GroupName, groups } from '../groups.ts';

/** vitest as Stryker runs it for one group. A test that fails only because the machine is busy would count as a kill. */
export const configOf = (name: GroupName) => {
  const needsPostgres = name !== 'agent-cache';
  return defineConfig({
    test: {
      include: [...groups[name].tests],
      testTimeout: needsPostgres ? 20_000 : 5_000,
      hookTimeout: needsPostgres ? 20_000 : 5_000,
      setupFiles: ['test/mutation/fewer-cases.ts'].concat(
        needsPostgres ? 'test/mutation/borrow-postgres.ts' : [],
      ),
      globalSetup: needsPostgres ? ['test/mutation/lend-postgres.ts'] : [],
    },
  });
};
