import { knownGraceEnd } from '../../shared/grace/grace.ts';
import { changeOf, inForceSince, type LabelFacts } from '../../shared/labels/change.ts';
import { versionWith } from '../../shared/labels/stages.ts';
import type { Tags } from '../../shared/labels/tags.ts';
import { duration } from '../fleet/format.ts';

export interface RotationFacts
  extends Pick<LabelFacts, 'stages' | 'createdAt' | 'lastRotatedAt' | 'lastChangedAt'> {
  readonly tags: Tags;
}

/** Why agents could fail if a secret were rotated now, a sentence each. */
export function dangersOf(facts: RotationFacts, now: Date): readonly string[] {
  const { tags } = facts;
  if (tags['keyturn:strategy'] === 'single-user') {
    return [
      'Its login has no twin: agents fail from the moment it changes until they read the secret again.',
    ];
  }
  const supersededAt = latestSupersededAt(facts);
  if (!supersededAt) return [];
  const end = knownGraceEnd(supersededAt, tags);
  // The rotation itself would succeed, and may be urgent: it is asked about, not refused.
  if ('unreadableTag' in end) {
    return [
      `Its tag ${end.unreadableTag} can't be read, so the login before this one may still be in its grace period: instances that still use it would fail.`,
    ];
  }
  const leftMs = end.endsAt.getTime() - now.getTime();
  if (leftMs <= 0) return [];
  return [
    `The login before this one is in its grace period for ${duration(leftMs / 1_000)} more: instances that still use it would fail.`,
  ];
}

/**
 * When the latest rotation superseded a login, as revoke-superseded counts it. A change by hand supersedes none: the login that the
 * rotation before it superseded keeps its grace, by the only date there is of that.
 */
function latestSupersededAt(facts: RotationFacts): Date | undefined {
  const currentVersionId = versionWith('AWSCURRENT', facts);
  if (currentVersionId === undefined || versionWith('AWSPREVIOUS', facts) === undefined) return undefined;
  const change = changeOf(currentVersionId, facts);
  return change.kind === 'rotated' ? inForceSince(change.currentCreatedAt, facts) : facts.lastRotatedAt;
}
