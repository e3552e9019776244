/** What is mutated, and the tests that a mutant of it must get past. */
export interface Group {
  readonly mutate: readonly string[];
  readonly tests: readonly string[];
}

export const groups = {
  'agent-cache': {
    mutate: ['agent/{cache-entry,change-listeners,clock,secret-cache,secret-track,version-floor}.ts'],
    tests: [
      'test/unit/agent/{agent-secrets,clock,secret-cache*,secret-track,version-floor}.test.ts',
      'test/faults/agent/secret-cache.property.test.ts',
    ],
  },
  rotation: {
    mutate: ['shared/rotation/*.ts'],
    tests: [
      'test/unit/rotation/{abandoned,contract}.test.ts',
      'test/integration/rotation/{given-up,lagging-read,overtaken,steps}.test.ts',
    ],
  },
  rotators: {
    mutate: ['shared/rotators/**/*.ts'],
    tests: [
      'test/unit/rotators/*.test.ts',
      'test/integration/rotation/{connection,postgres-powers,postgres-revocation,postgres-revocation-on-replicas,postgres-revocation-resisted,postgres-rotator,tls}.test.ts',
      'test/attacks/hostile-server.test.ts',
    ],
  },
} as const satisfies Readonly<Record<string, Group>>;

export type GroupName = keyof typeof groups;
