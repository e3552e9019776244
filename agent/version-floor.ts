/** What a notice says: AWSCURRENT moved to a version. All times are milliseconds since the epoch, by AWS's clock. */
export interface VersionNotice {
  readonly secret: string;
  readonly secretArn: string;
  readonly versionId: string;
  readonly versionCreatedAt: number;
  readonly movedAt: number;
}

/** What callers may call the secret by: its name, its ARN, and its ARN without the six random characters. */
export function idsOf({ secret, secretArn }: VersionNotice): ReadonlySet<string> {
  return new Set([secret, secretArn, secretArn.replace(/-[^-]{6}$/, '')]);
}

/** A version that nothing older may be served than. Until a read has shown it in force it is a word: somebody's, who may have forged it. */
interface Floor {
  readonly versionId: string;
  readonly createdAt: number;
  /** Orders it among the words: by the notice, or by when it was made if no notice named it. */
  readonly movedAt: number;
  /** The latest time at which it is said to have come into force. */
  readonly since: number;
  /** A read has shown it in force. */
  readonly met: boolean;
  /** Rounds of reads since it was noticed that did not show it in force. */
  readonly rounds: number;
}

/** Newest first; at most one of them was met. */
export type Floors = readonly Floor[];

/** What a read says of a version; times in milliseconds since the epoch. */
export interface ReadVersion {
  readonly versionId: string;
  readonly createdAt: number;
}

/** Event times come in whole seconds. */
const GRAIN_MS = 1_000;
/** The newest words count; one that is in force later implies the others. */
export const UNMET_MAX = 3;

/**
 * Whether a version is no older than the floor. It is if it is the floor, or if it was made after the floor came into force,
 * for then it can only have come into force later. A version made before that may be either, so it is not.
 */
export function reaches(version: ReadVersion, floors: Floors): boolean {
  const top = floors[0];
  return !top || version.versionId === top.versionId || version.createdAt >= top.since + GRAIN_MS;
}

/**
 * What a notice does to the floors. `moved`: nothing older than its version may be served. `hinted`: it is no reason to hold
 * up a reader, and yet one to read again. `known`: nothing new.
 */
export function noticed(
  floors: Floors,
  notice: VersionNotice,
  trusted: boolean,
): { readonly outcome: 'moved' | 'hinted' | 'known'; readonly floors: Floors } {
  if (floors.some(({ versionId }) => versionId === notice.versionId)) {
    // Its place among the words stays: one that is forged must not hide the true ones.
    return { outcome: 'known', floors: floors.map((floor) => confirmed(floor, notice)) };
  }
  const unmet = floors.filter(({ met }) => !met);
  const floor: Floor = {
    versionId: notice.versionId,
    createdAt: notice.versionCreatedAt,
    movedAt: notice.movedAt,
    since: notice.movedAt,
    met: false,
    rounds: 0,
  };
  const met = floors.find(({ met }) => met);
  if (met && newestFirst(floor, met) > 0) {
    // Late, as a rule. But a forged notice of the version in force can push the floor's time ahead of the true ones.
    return { outcome: floor.createdAt > met.createdAt ? 'hinted' : 'known', floors };
  }
  const newest = [...unmet, floor].toSorted(newestFirst).slice(0, UNMET_MAX);
  if (!trusted || !newest.includes(floor)) return { outcome: 'hinted', floors };
  return { outcome: 'moved', floors: [...newest, ...(met ? [met] : [])].toSorted(newestFirst) };
}

/** The floor once a read showed a version in force: readers never go back from it, notices or none. */
export function met(floors: Floors, version: ReadVersion): Floors {
  const named = floors.find(({ versionId }) => versionId === version.versionId);
  const movedAt = Math.floor(version.createdAt / GRAIN_MS) * GRAIN_MS;
  return [
    {
      versionId: version.versionId,
      createdAt: version.createdAt,
      movedAt: named ? Math.max(named.movedAt, movedAt) : movedAt,
      since: named ? Math.max(named.since, movedAt) : movedAt,
      met: true,
      rounds: 0,
    },
  ];
}

/**
 * The floors after a round of reads in which the top one was not in force. After `roundsMax` of them it is dropped: forged,
 * or rolled back since. What is under it counts again, and words have waited as long for reads to show them: a few forged ones
 * at once hold up a reader hardly longer than one does.
 */
export function missed(
  floors: Floors,
  roundsMax: number,
): { readonly floors: Floors; readonly dropped?: 'word' | 'met' } {
  const [top, ...under] = floors;
  if (!top) return { floors };
  const waited = under.map((floor) => (floor.met ? floor : { ...floor, rounds: floor.rounds + 1 }));
  if (top.rounds + 1 < roundsMax) return { floors: [{ ...top, rounds: top.rounds + 1 }, ...waited] };
  return { floors: waited, dropped: top.met ? 'met' : 'word' };
}

/** The floors without those that are but somebody's word. */
export function withoutWords(floors: Floors): Floors {
  return floors.filter(({ met }) => met);
}

function confirmed(floor: Floor, notice: VersionNotice): Floor {
  if (floor.versionId !== notice.versionId) return floor;
  return { ...floor, since: Math.max(floor.since, notice.movedAt) };
}

/** Later in force first; within the same second, made later first. */
function newestFirst(one: Floor, other: Floor): number {
  return other.movedAt - one.movedAt || other.createdAt - one.createdAt;
}
