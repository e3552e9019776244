import type { SecretCacheOptions } from '../../../agent/cache-options.ts';
import { SecretNotFoundError } from '../../../agent/errors.ts';
import { SecretCache } from '../../../agent/secret-cache.ts';
import { fieldsOf, type SecretSource, type SecretVersion } from '../../../agent/secret-version.ts';
import type { VersionNotice } from '../../../agent/version-floor.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';

export const secret = 'agents/billing-7/credentials';
export const secretArn = `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${secret}-a1B2c3`;
export const epoch = Date.parse('2026-11-24T09:00:00Z');

export function versionIdOf(number: number): string {
  return number.toString().padStart(32, '0');
}

/** A secret in a store whose clock is the test's, and whose reads can lag and fail as the real one's do. */
export class Store implements SecretSource {
  now = 0;
  fetches: { readonly at: number; readonly versionId: string | undefined }[] = [];
  /** What each read that was answered saw in force. */
  seen: { readonly secretId: string; readonly at: number; readonly current: number | undefined }[] = [];
  failure: Error | undefined;
  /** How many of the next reads don't see the last move yet. */
  lag = 0;
  readonly #versions: { readonly createdAt: number; readonly text: string }[] = [];
  readonly #moves: number[] = [];
  readonly #flying = new Map<string, number>();
  /** The most reads of one secret that were under way at a time. */
  mostFlying = 0;
  /** Each read waits for it: set it to hold reads in flight. */
  gate: Promise<void> = Promise.resolve();
  gateOf = (): Promise<void> => this.gate;

  constructor() {
    this.rotate();
  }

  /** Makes a version and moves AWSCURRENT to it. Gives the notice of it. */
  rotate(
    text = JSON.stringify({ username: 'agent', password: `p-${this.#versions.length}` }),
  ): VersionNotice {
    this.#versions.push({ createdAt: epoch + this.now, text });
    return this.moveTo(this.#versions.length - 1);
  }

  moveTo(number: number): VersionNotice {
    this.#moves.push(number);
    return this.noticeOf(number);
  }

  noticeOf(number: number, movedAt = epoch + this.now): VersionNotice {
    const versionCreatedAt = this.#versions[number]?.createdAt ?? movedAt;
    return { secret, secretArn, versionId: versionIdOf(number), versionCreatedAt, movedAt };
  }

  get current(): number {
    return this.#moves.at(-1) ?? 0;
  }

  async fetch(secretId: string, { versionId }: { readonly versionId?: string } = {}): Promise<SecretVersion> {
    this.fetches.push({ at: this.now, versionId });
    // What a read sees is settled when it is sent, not when its answer comes.
    const lags = this.lag > 0 && this.#moves.length > 1;
    if (lags) this.lag -= 1;
    const seen = this.#moves.at(lags ? -2 : -1) ?? 0;
    const failure = this.failure;
    const number = versionId === undefined ? seen : Number(versionId);
    this.seen.push({ secretId, at: this.now, current: number === seen && !failure ? seen : undefined });
    const flying = (this.#flying.get(secretId) ?? 0) + 1;
    this.#flying.set(secretId, flying);
    this.mostFlying = Math.max(this.mostFlying, flying);
    await this.gateOf();
    this.#flying.set(secretId, (this.#flying.get(secretId) ?? 0) - 1);
    if (failure) throw failure;
    const version = this.#versions[number];
    if (!version) throw new SecretNotFoundError('no such version');
    return {
      versionId: versionIdOf(number),
      createdAt: version.createdAt,
      stages: number === seen ? ['AWSCURRENT'] : [],
      fields: fieldsOf(version.text),
      value: SecretValue.of(version.text),
    };
  }
}

/** A notice as a message of an agent's queue. */
export function bodyOf({ versionCreatedAt, movedAt, ...ids }: VersionNotice, agentId: string): string {
  return JSON.stringify({
    schemaVersion: 1,
    agentId,
    ...ids,
    versionCreatedAt: new Date(versionCreatedAt).toISOString(),
    movedAt: new Date(movedAt).toISOString(),
  });
}

/** The store's clock; a wait moves it. */
export const timeOf = (store: Store) => ({
  now: () => store.now,
  wait: async (ms: number) => {
    store.now += ms;
  },
  random: () => 0,
});

/** A cache over a store, both on the store's clock. */
export function cacheOver(store: Store, options: SecretCacheOptions = {}): SecretCache {
  return new SecretCache(store, { ...timeOf(store), ...options });
}

/** Lets everything that needs no time come to rest. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}
