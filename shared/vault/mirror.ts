import { isSince } from '../labels/change.ts';
import { examineMirror, hasLeft, type MirrorParts } from './examine-mirror.ts';
import { StaleReadError, UnexplainedValueError } from './mirror-errors.ts';
import { labelsOf } from './mirrored-versions.ts';

export type MirrorOutcome =
  | 'not-mirrored'
  | 'deletion-pending'
  | 'unchanged'
  | 'stamped'
  | 'written'
  | 'changed-by-hand'
  | 'quarantined';

/**
 * Brings a secret's mirror to AWSCURRENT as it is read now, whatever version an event named. Where AWSCURRENT is seen on another
 * one, the named one must be seen to have lost it: else the read is older than the event, and the mirror would stay behind.
 *
 * Killed anywhere, the next run converges: the key is claimed before its data is written, and the data before the version
 * stamp. Data without its stamp looks outdated and is stamped or written again; a stamp without its data can't come to be.
 * The stamp names the KV version that it describes and holds a digest of the value, so a stamp that is late, or a change by
 * hand, is seen too. Concurrent runs: the data is written by check-and-set on the version that was read; of two stamps the
 * later stays, and one that doesn't describe the data is mended by the next run.
 * A value that the mirror was never given is left to the reconciler, which looks twice: it may be that of a later version, whose run
 * hasn't stamped it yet or was killed before, and which isn't shown yet. Until then the event comes again, where its version was
 * not mirrored.
 * A key that someone creates between the check and the claim is kept by this run (CAS 0), but not by the next.
 *
 * @param moved the version that AWSCURRENT moved to and when, as an event says.
 */
export async function syncMirror(
  secretId: string,
  parts: MirrorParts,
  { moved }: { readonly moved?: { readonly to: string; readonly at: Date } } = {},
): Promise<MirrorOutcome> {
  const mirror = await shownMirror(secretId, parts);
  if (typeof mirror === 'string') return mirror;
  if (moved !== undefined && moved.to !== mirror.currentVersionId) {
    const labels = mirror.stages[moved.to] ?? (await labelsOf(moved.to, secretId, parts.secretsManager));
    const isOld = labels !== undefined && hasLeft(labels) && isSince(moved.at, mirror.lastChangedAt);
    if (!isOld) throw new StaleReadError('What was read is older than the event');
  }
  if (mirror.isQuarantined) return 'quarantined';
  const isMirrored = mirror.stampedVersionId === mirror.currentVersionId;
  if (mirror.standing !== 'changed-by-hand') return mirror.write();
  if (isMirrored) return 'changed-by-hand';
  throw new UnexplainedValueError('The mirror holds a value that is not known to be of this secret');
}

/** Brings a secret's mirror to AWSCURRENT, over whatever somebody wrote into it by hand: a person has looked at it. */
export async function releaseMirror(
  secretId: string,
  parts: MirrorParts,
): Promise<Exclude<MirrorOutcome, 'changed-by-hand' | 'quarantined'>> {
  const mirror = await shownMirror(secretId, parts);
  return typeof mirror === 'string' ? mirror : mirror.write();
}

async function shownMirror(secretId: string, parts: MirrorParts) {
  const mirror = await examineMirror(secretId, parts);
  if (typeof mirror !== 'string' && mirror.unknownSince) {
    throw new StaleReadError('What was read is older than what was mirrored');
  }
  return mirror;
}
