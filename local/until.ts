import { setTimeout as pause } from 'node:timers/promises';

/** Thrown by a check that knows that waiting is in vain. */
export class HopelessError extends Error {
  override readonly name = 'HopelessError';
}

/**
 * Waits for a condition of an outside process: polls `check` until it gives a value, and fails with `what` in words
 * when `timeoutMs` has passed. What a check throws is one that did not hold yet.
 *
 * @throws HopelessError at once, where the check throws it
 *
 * @example await until('ministack answers', () => fetch(url).then((r) => r.ok || undefined))
 */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await check().catch((error: unknown) => {
      if (error instanceof HopelessError) throw error;
      return undefined;
    });
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s in vain: ${what}`);
    await pause(50);
  }
}
