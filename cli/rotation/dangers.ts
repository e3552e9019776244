import type { DescribedSecret } from '../../shared/labels/read.ts';
import { graceMsOf } from '../../shared/labels/tags.ts';
import { duration } from '../fleet/format.ts';

/** Why agents could fail if a secret were rotated now, a sentence each. */
export function dangersOf(
  { tags, stages, lastRotatedAt }: Pick<DescribedSecret, 'tags' | 'stages' | 'lastRotatedAt'>,
  now: Date,
): readonly string[] {
  if (tags['keyturn:strategy'] === 'single-user') {
    return [
      'Its login has no twin: agents fail from the moment it changes until they read the secret again.',
    ];
  }
  const hasPrevious = Object.values(stages).some((labels) => labels.includes('AWSPREVIOUS'));
  const left = hasPrevious && lastRotatedAt ? lastRotatedAt.getTime() + graceMsOf(tags) - now.getTime() : 0;
  if (left <= 0) return [];
  return [
    `The login before this one is in its grace period for ${duration(left / 1_000)} more: instances that still use it would fail.`,
  ];
}
