import { defineConfig } from 'vitest/config';

/** The tests that a mutant of stryker.config.mjs must get past: those of the parts that are mutated. */
export default defineConfig({
  test: {
    include: [
      'test/unit/agent/**/*.test.ts',
      'test/unit/rotation/**/*.test.ts',
      'test/faults/agent/**/*.test.ts',
    ],
    testTimeout: 10_000,
  },
});
