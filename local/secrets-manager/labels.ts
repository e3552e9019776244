/** Which version carries which staging labels: pure functions over one secret's versions. */
import { invalidParameter, notFound } from './errors.ts';

export const CURRENT = 'AWSCURRENT';
export const PREVIOUS = 'AWSPREVIOUS';
export const PENDING = 'AWSPENDING';

/** Version ids and their labels. A version without labels is deprecated, and keeps its (empty) entry. */
export type Labels = ReadonlyMap<string, readonly string[]>;

/** One label that came onto a version it wasn't on. */
export type LabelMove = { readonly label: string; readonly from: string | undefined; readonly to: string };

export type Relabelled = { readonly labels: Labels; readonly moves: readonly LabelMove[] };

const LABELS_PER_VERSION = 20;

/** The version that carries `label`, if any does. */
export function carrierOf(labels: Labels, label: string): string | undefined {
  for (const [versionId, own] of labels) if (own.includes(label)) return versionId;
  return undefined;
}

/**
 * Puts `added` on a version, taking each label off whichever version had it. Where AWSCURRENT moves, AWSPREVIOUS goes
 * to the version it leaves, and that version's AWSPENDING (a rotation long finished) goes away, as recorded from AWS.
 */
export function attach(labels: Labels, versionId: string, added: readonly string[]): Relabelled {
  const current = added.includes(CURRENT) ? versionId : carrierOf(labels, CURRENT);
  if (added.includes(PREVIOUS) && current === versionId) {
    // What AWS does here is not documented; refusing keeps AWSPREVIOUS a version to go back to.
    throw invalidParameter(`${PREVIOUS} can't be attached to the version that is ${CURRENT}.`);
  }
  const result = new Map(labels);
  const moves: LabelMove[] = [];
  const put = (to: string, label: string) => {
    const from = carrierOf(result, label);
    if (from === to) return;
    if (from !== undefined) result.set(from, without(result.get(from), label));
    result.set(to, [...(result.get(to) ?? []), label]);
    moves.push({ label, from, to });
  };
  if (!result.has(versionId)) result.set(versionId, []);
  for (const label of added) {
    const left = label === CURRENT ? carrierOf(result, CURRENT) : undefined;
    put(versionId, label);
    if (left === undefined || left === versionId) continue;
    result.set(versionId, without(result.get(versionId), PREVIOUS));
    result.set(left, without(result.get(left), PENDING));
    put(left, PREVIOUS);
  }
  if ((result.get(versionId)?.length ?? 0) > LABELS_PER_VERSION) {
    throw invalidParameter(`You can't attach more than ${LABELS_PER_VERSION} staging labels to a version.`);
  }
  return { labels: result, moves };
}

/** Takes a label off a version; nothing happens where it isn't on it. */
export function detach(labels: Labels, versionId: string, label: string): Labels {
  return new Map(labels).set(versionId, without(labels.get(versionId), label));
}

/**
 * UpdateSecretVersionStage. The version that the label leaves must be named, so that two callers who both believe to
 * know the state can't undo each other's move: a repeated move that names the version it left long ago is refused.
 * AWSCURRENT can move but never be taken off.
 */
export function moveLabel(
  labels: Labels,
  { label, to, from }: { label: string; to: string | undefined; from: string | undefined },
): Relabelled {
  const carrier = carrierOf(labels, label);
  for (const named of [to, from]) if (named !== undefined && !labels.has(named)) throw notFound();
  if (from !== undefined && carrier !== from) {
    throw invalidParameter(
      `The parameter RemoveFromVersionId can't be ${from}. Staging label ${label} isn't currently attached to version ${from}.`,
    );
  }
  if (to !== undefined) {
    if (carrier !== undefined && carrier !== to && from === undefined) {
      throw invalidParameter(
        `The parameter RemoveFromVersionId can't be empty. Staging label ${label} is currently attached to version ${carrier}, so you must explicitly reference that version in RemoveFromVersionId.`,
      );
    }
    return attach(labels, to, [label]);
  }
  if (from === undefined) {
    throw invalidParameter('You must specify RemoveFromVersionId or MoveToVersionId.');
  }
  if (label === CURRENT) {
    throw invalidParameter(
      'You can only move staging label AWSCURRENT to a different secret version. It can\u2019t be completely removed.',
    );
  }
  return { labels: detach(labels, from, label), moves: [] };
}

function without(labels: readonly string[] | undefined, label: string): readonly string[] {
  return (labels ?? []).filter((own) => own !== label);
}
