import type { Subscriber } from './deliveries.ts';
import type { Effect, Oracle, Watched } from './oracle.ts';

/** A subscriber that must have done what an event asks for when it takes it, unless AWSCURRENT has moved on since. */
export function thorough(
  oracle: Oracle,
  effect: Effect,
  watchedOf: (event: unknown) => Watched,
  subscriber: Subscriber,
): Subscriber {
  return {
    ...subscriber,
    async handle(event) {
      const watched = watchedOf(event);
      const before = watched.current;
      await subscriber.handle(event);
      if (before === undefined || before !== watched.current || versionIn(event) !== before.versionId) return;
      oracle.acknowledged(watched, effect, before.versionId);
    },
  };
}

function versionIn(event: unknown): string | undefined {
  const detail = typeof event === 'object' && event !== null && 'detail' in event ? event.detail : undefined;
  return typeof detail === 'object' && detail !== null && 'versionId' in detail
    ? String(detail.versionId)
    : undefined;
}
