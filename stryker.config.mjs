// Mutation testing of what must not be subtly wrong: npm run mutation -- --mutate 'shared/rotation/*.ts'

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner'],
  vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
  mutate: [
    'agent/secret-cache.ts',
    'agent/secret-track.ts',
    'agent/version-floor.ts',
    'agent/clock.ts',
    'shared/rotation/*.ts',
    'shared/rotators/**/*.ts',
  ],
  // A sentence may be worded otherwise; that an error of its class is thrown is what tests hold to.
  mutator: { excludedMutations: ['StringLiteral'] },
  ignoreStatic: true,
  coverageAnalysis: 'perTest',
  concurrency: 2,
  timeoutMS: 10_000,
  reporters: ['clear-text', 'json', 'html'],
  jsonReporter: { fileName: '.keyturn/mutation/report.json' },
  htmlReporter: { fileName: '.keyturn/mutation/report.html' },
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false, reportMutants: true },
  // TypeScript 7 has no API that Stryker could read a tsconfig with; nothing here needs one.
  tsconfigFile: 'none',
  tempDirName: '.keyturn/mutation/sandbox',
  thresholds: { high: 90, low: 85, break: 85 },
  ignorePatterns: ['.keyturn', 'dist', '.serverless', '.esbuild', 'docs'],
};
