import { LONGEST_TIMER_MS } from './clock.ts';
import { notifyListener } from './listener.ts';
import type { SecretVersion } from './secret-version.ts';

export type ChangeListener = (version: SecretVersion) => void;

/** What listeners need of the cache that they listen to. */
export interface Listened {
  /** Does something once so many milliseconds have passed, unless it is disposed of before. */
  readonly after: (ms: number, act: () => void) => Disposable;
  /** How long a secret's next read may wait though nobody asks for it. */
  readonly msUntilDue: (secretId: string) => number;
  /** Reads the secret, if it may be read. */
  readonly renew: (secretId: string) => void;
}

/** Those who listen to one secret. */
interface Audience {
  readonly listeners: Set<ChangeListener>;
  told?: string;
  timer?: Disposable;
}

/** Between two reads for those who listen, however short the TTL is: the reads of a minute are for those who ask, too. */
const SOONEST_MS = 2_000;

/** Those who listen for new versions. As long as there are any, their secret is read on time, though nobody asks for it. */
export class ChangeListeners implements Disposable {
  readonly #listened: Listened;
  readonly #audiences = new Map<string, Audience>();
  #closed = false;

  constructor(listened: Listened) {
    this.#listened = listened;
  }

  /** The secrets that somebody listens to. */
  get secretIds(): readonly string[] {
    return [...this.#audiences.keys()];
  }

  has(secretId: string): boolean {
    return this.#audiences.has(secretId);
  }

  add(secretId: string, listener: ChangeListener): Disposable {
    const audience = this.#audiences.get(secretId) ?? { listeners: new Set() };
    audience.listeners.add(listener);
    this.#audiences.set(secretId, audience);
    if (!audience.timer) this.reschedule(secretId);
    return {
      [Symbol.dispose]: () => {
        audience.listeners.delete(listener);
        if (audience.listeners.size > 0 || this.#audiences.get(secretId) !== audience) return;
        audience.timer?.[Symbol.dispose]();
        this.#audiences.delete(secretId);
      },
    };
  }

  /** A version that went for another and came back is no news. */
  tell(secretId: string, version: SecretVersion): void {
    const audience = this.#audiences.get(secretId);
    if (!audience || audience.told === version.versionId) return;
    audience.told = version.versionId;
    for (const listener of audience.listeners) notifyListener(listener, version);
  }

  /** Reckons anew when the secret is due, because it was read or could not be. */
  reschedule(secretId: string): void {
    const audience = this.#audiences.get(secretId);
    if (!audience || this.#closed) return;
    const { after, msUntilDue, renew } = this.#listened;
    audience.timer?.[Symbol.dispose]();
    audience.timer = after(Math.min(LONGEST_TIMER_MS, Math.max(SOONEST_MS, msUntilDue(secretId))), () => {
      renew(secretId);
      // Whatever comes of that: a timer that is early by a millisecond has nothing read.
      this.reschedule(secretId);
    });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const { timer } of this.#audiences.values()) timer?.[Symbol.dispose]();
    this.#audiences.clear();
  }
}
