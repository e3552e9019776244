import { defineConfig } from 'vitest/config';

const project = (name: string, timeoutMs: number, isolate = true) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    isolate,
  },
});

export default defineConfig({
  test: {
    projects: [
      // Half of their time went into loading the same modules. So what a file doubles, of a class, it restores.
      project('unit', 5_000, false),
      project('integration', 60_000),
      project('end-to-end', 120_000),
      project('faults', 60_000),
      project('attacks', 180_000),
    ],
  },
});
