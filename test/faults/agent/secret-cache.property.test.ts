import { inspect } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AgentClosedError, SecretUnavailableError, SourceUnreachableError } from '../../../agent/errors.ts';
import type { SecretCache } from '../../../agent/secret-cache.ts';
import type { VersionNotice } from '../../../agent/version-floor.ts';
import { cacheOver, epoch, Store, secret } from '../../unit/agent/setting.ts';

const staleMs = 600_000;

/** What may happen to an agent. `pick` takes one among what there is. */
type Happening =
  | { readonly kind: 'get' | 'refresh' | 'evict' | 'invalidate' | 'listen' }
  | { readonly kind: 'rotate'; readonly lag: number }
  | { readonly kind: 'deliver'; readonly pick: number }
  | { readonly kind: 'forge'; readonly number: number | 'shown'; readonly movedAt: number }
  | { readonly kind: 'outage'; readonly down: boolean }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'settle'; readonly turns: number };

const happening = fc.oneof<fc.WeightedArbitrary<Happening>[]>(
  { weight: 4, arbitrary: fc.constant({ kind: 'get' }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'refresh' }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'evict' }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'invalidate' }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'listen' }) },
  { weight: 3, arbitrary: fc.nat(5).map((lag) => ({ kind: 'rotate', lag })) },
  { weight: 4, arbitrary: fc.nat(20).map((pick) => ({ kind: 'deliver', pick })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.oneof(fc.integer({ min: 500, max: 600 }), fc.constant('shown' as const)),
        fc.integer({ min: -1e6, max: 1e9 }),
      )
      .map(([number, movedAt]) => ({ kind: 'forge', number, movedAt })),
  },
  { weight: 2, arbitrary: fc.boolean().map((down) => ({ kind: 'outage', down })) },
  { weight: 3, arbitrary: fc.oneof(fc.nat(5_000), fc.nat(2 * staleMs)).map((ms) => ({ kind: 'pass', ms })) },
  { weight: 4, arbitrary: fc.nat(30).map((turns) => ({ kind: 'settle', turns })) },
);

/** An agent's life, and what it must be true to at each read, judged from outside the cache. */
class Life {
  readonly store = new Store();
  readonly timers = new Set<{ readonly at: number; readonly act: () => void }>();
  readonly cache: SecretCache = cacheOver(this.store, {
    staleMs,
    maxEntries: 1,
    after: (ms, act) => {
      const timer = { at: this.store.now + ms, act };
      this.timers.add(timer);
      return { [Symbol.dispose]: () => this.timers.delete(timer) };
    },
  });
  listening: Disposable | undefined;
  readonly heard: number[] = [];
  readonly reads: Promise<void>[] = [];
  readonly notices: VersionNotice[] = [];
  /** What was seen before what was held was invalidated last. */
  invalidated = 0;
  outages = 0;
  told = 0;
  shown = -1;
  forged = 0;
  closed = false;

  read(reading: Promise<{ readonly versionId: string }>): void {
    const [least, from] = [Math.max(this.told, this.shown), this.store.now - staleMs];
    this.reads.push(this.judged(reading, least, from, this.invalidated, this.closed));
  }

  async judged(
    reading: Promise<{ readonly versionId: string }>,
    least: number,
    from: number,
    invalidated: number,
    wasClosed: boolean,
  ): Promise<void> {
    let number: number;
    try {
      number = Number((await reading).versionId);
    } catch (error) {
      if (error instanceof SecretUnavailableError || (this.closed && error instanceof AgentClosedError))
        return;
      throw error;
    }
    expect(wasClosed, 'asked after it was closed, and served').toBe(false);
    expect(number, 'older than what it was told of, or had shown').toBeGreaterThanOrEqual(least);
    const confirmed = this.store.seen.some((seen) => seen.current === number && seen.at >= from);
    expect(confirmed, 'in force at a read within the hard bound').toBe(true);
    // A source that was out of reach, or read too often, is a reason to have the last known good stand in.
    if (this.outages === 0 && this.store.seen.length < 100) {
      const since = this.store.seen.slice(invalidated).some(({ current }) => current === number);
      expect(since, 'in force at a read after it was invalidated').toBe(true);
    }
    this.shown = Math.max(this.shown, number);
  }

  async take(happening: Happening): Promise<void> {
    const { store, cache } = this;
    if (happening.kind === 'get') this.read(cache.get(secret));
    if (happening.kind === 'refresh') this.read(cache.refresh(secret));
    if (happening.kind === 'evict') cache.get('another').catch(() => undefined);
    if (happening.kind === 'invalidate') this.invalidate();
    if (happening.kind === 'listen') this.listen();
    if (happening.kind === 'rotate') {
      store.now += 2_000;
      store.lag = happening.lag;
      this.notices.push(store.rotate());
    }
    if (happening.kind === 'deliver') this.deliver(this.notices[happening.pick % (this.notices.length || 1)]);
    if (happening.kind === 'forge') this.forge(happening.number, happening.movedAt);
    if (happening.kind === 'outage') {
      this.outages += Number(happening.down);
      store.failure = happening.down ? new SourceUnreachableError('down') : undefined;
    }
    if (happening.kind === 'pass') this.pass(happening.ms);
    if (happening.kind === 'settle') await turns(happening.turns);
  }

  invalidate(): void {
    this.invalidated = this.store.seen.length;
    this.cache.invalidate();
  }

  /** Or listens no more, every second time. */
  listen(): void {
    const { listening } = this;
    listening?.[Symbol.dispose]();
    const listener = ({ versionId }: { readonly versionId: string }) => this.heard.push(Number(versionId));
    this.listening = listening ? undefined : this.cache.onChange(secret, listener);
  }

  /** What was to happen meanwhile happens at the end, as on a machine that was suspended. */
  pass(ms: number): void {
    this.store.now += ms;
    for (const timer of [...this.timers].filter(({ at }) => at <= this.store.now)) {
      this.timers.delete(timer);
      timer.act();
    }
  }

  /** While reads may be under way. */
  close(): void {
    this.read(this.cache.get(secret));
    this.cache[Symbol.dispose]();
    this.closed = true;
    this.read(this.cache.get(secret));
  }

  deliver(notice: VersionNotice | undefined): void {
    if (!notice) return;
    this.cache.notice(notice);
    this.told = Math.max(this.told, Number(notice.versionId));
  }

  /** The third forged one within ten minutes makes hints of all that follow; that is tested on its own. */
  forge(number: number | 'shown', movedAt: number): void {
    this.forged += 1;
    if (this.forged > 2 || (number === 'shown' && this.shown < 0)) return;
    this.cache.notice(this.store.noticeOf(number === 'shown' ? this.shown : number, epoch + movedAt));
  }

  /** The most fetches of the secret within any stretch of time. */
  mostWithin(ms: number): number {
    const ats = this.store.seen.filter(({ secretId }) => secretId === secret).map(({ at }) => at);
    return Math.max(0, ...ats.map((from) => ats.filter((at) => at >= from && at < from + ms).length));
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
}

test('whatever happens, and in whatever order: never below the floor, never past the bound, never what was invalidated, never two reads at once, never a storm, never a secret shown', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(happening, { maxLength: 60, size: 'max' }),
      fc.infiniteStream(fc.nat(12)),
      fc.boolean(),
      async (happenings, delays, closes) => {
        const life = new Life();
        life.store.gateOf = () => turns(delays.next().value ?? 0);
        for (const next of happenings) await life.take(next);
        if (closes) life.close();
        await Promise.all(life.reads);
        expect(life.heard, 'heard of no older one').toEqual(life.heard.toSorted((one, other) => one - other));
        if (closes || !life.listening) expect(life.timers.size, 'a timer for nobody').toBe(0);
        expect(life.store.mostFlying).toBeLessThanOrEqual(1);
        expect(life.mostWithin(60_000)).toBeLessThanOrEqual(100);
        expect(inspect(life.cache, { showHidden: true, depth: 9 })).not.toContain('p-');
      },
    ),
    { numRuns: fc.readConfigureGlobal().numRuns ?? 10_000 },
  );
}, 60_000);
