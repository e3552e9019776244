import { defineConfig } from 'vitest/config';

const project = (name: string, timeoutMs: number) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: timeoutMs, hookTimeout: timeoutMs },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', 5_000),
      project('integration', 60_000),
      project('end-to-end', 120_000),
      project('faults', 60_000),
      project('attacks', 180_000),
    ],
  },
});
