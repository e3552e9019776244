import type { LabelFacts } from '../labels/change.ts';
import { graceMsOf, SecretTagError, type Tags } from '../labels/tags.ts';

/**
 * When the grace period of what was superseded at an instant ends, as the secret's tags say.
 *
 * @throws SecretTagError where the tag can't be read: nobody knows an end then.
 * @example
 * graceEnd(new Date('2026-11-24T09:00:00Z'), { 'keyturn:grace': '15m' }); // 2026-11-24T09:15:00.000Z
 */
export function graceEnd(supersededAt: Date, tags: Tags): Date {
  return new Date(supersededAt.getTime() + graceMsOf(tags));
}

/** The same for whoever goes on without it. Names the tag that can't be read. */
export function knownGraceEnd(
  supersededAt: Date,
  tags: Tags,
): { readonly endsAt: Date } | { readonly unreadableTag: string } {
  try {
    return { endsAt: graceEnd(supersededAt, tags) };
  } catch (error) {
    if (error instanceof SecretTagError) return { unreadableTag: error.tag };
    throw error;
  }
}

/**
 * When the latest rotation superseded a version, as far as a list of the fleet tells, which dates no version (`inForceSince` asks for
 * the version's date, and is exact). A first rotation whose last steps a reconciler took has no date: its latest change bounds it.
 */
export function supersededSince({
  lastRotatedAt,
  lastChangedAt,
}: Pick<LabelFacts, 'lastRotatedAt' | 'lastChangedAt'>): Date | undefined {
  return lastRotatedAt ?? lastChangedAt;
}
