import { setTimeout as pause } from 'node:timers/promises';

/**
 * Waits for a condition of an outside process: polls `check` until it gives a value, and fails with `what` in words
 * when `timeoutMs` has passed.
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
    const value = await check().catch(() => undefined);
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s in vain: ${what}`);
    await pause(50);
  }
}
