import type { CacheStats } from '../cache-report.ts';

/** What a sidecar counts besides its cache. */
export interface SidecarCounts {
  /** Answers by status code. */
  readonly answers: ReadonlyMap<number, number>;
  readonly connected: boolean;
  readonly watchers: number;
}

const HELP: Readonly<Record<keyof CacheStats, readonly [string, string]>> = {
  hits: ['keyturn_cache_hits_total', 'Secrets served from the cache'],
  misses: ['keyturn_cache_misses_total', 'Secrets that had to be read'],
  fetches: ['keyturn_source_fetches_total', 'Requests to the source of secrets'],
  failedReads: ['keyturn_source_failures_total', 'Reads of a secret that failed'],
  servedStale: [
    'keyturn_cache_stale_served_total',
    'Secrets served past their TTL while the source was out of reach',
  ],
};

/**
 * Prometheus's text format, version 0.0.4. No label names a secret: who may scrape need not know what there is.
 */
export function prometheus(stats: CacheStats, { answers, connected, watchers }: SidecarCounts): string {
  const cache = Object.entries(HELP).map(([field, [name, help]]) =>
    metric(name, 'counter', help, [['', Number(Reflect.get(stats, field))]]),
  );
  const byStatus = [...answers].map(([status, count]): [string, number] => [`{status="${status}"}`, count]);
  return [
    ...cache,
    metric('keyturn_sidecar_answers_total', 'counter', 'Answers by status', byStatus),
    metric('keyturn_invalidations_connected', 'gauge', 'Whether invalidations arrive', [
      ['', Number(connected)],
    ]),
    metric('keyturn_sidecar_watchers', 'gauge', 'Open watches', [['', watchers]]),
  ].join('');
}

function metric(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  samples: readonly (readonly [string, number])[],
): string {
  const lines = samples.map(([labels, value]) => `${name}${labels} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}
