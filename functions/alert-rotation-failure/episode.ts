/** A step failed. `since`: when the first one of the episode did. */
export interface Failure {
  readonly rotationId: string;
  readonly since: string;
  readonly failedAt: string;
}

/** What was heard of a secret's rotations, in whatever order it came. */
export interface Rotations {
  readonly failure?: Failure | undefined;
  readonly success?: { readonly rotationId: string; readonly rotatedAt: string } | undefined;
}

export interface RotationAlert {
  readonly state: 'failed' | 'recovered';
  readonly since: string;
  readonly at: string;
}

export interface Step {
  readonly state: Rotations;
  readonly alert?: RotationAlert | undefined;
}

/**
 * A failure opens an episode, unless a rotation is known to have succeeded since. Further ones belong to it, and one that
 * was seen, or is older than what was seen, tells nothing.
 */
export function failed(
  before: Rotations,
  { rotationId, failedAt }: { rotationId: string; failedAt: string },
): Step | undefined {
  const { failure, success } = before;
  if (success && overcomes(success, { rotationId, failedAt })) return undefined;
  if (!failure) {
    return {
      state: { success, failure: { rotationId, since: failedAt, failedAt } },
      alert: { state: 'failed', since: failedAt, at: failedAt },
    };
  }
  if (Date.parse(failedAt) <= Date.parse(failure.failedAt)) return undefined;
  return { state: { success, failure: { rotationId, since: failure.since, failedAt } } };
}

/** A success ends the episode, unless a rotation is known to have failed since. */
export function rotated(
  before: Rotations,
  { rotationId, rotatedAt }: { rotationId: string; rotatedAt: string },
): Step | undefined {
  const { failure, success } = before;
  const late = success !== undefined && Date.parse(rotatedAt) <= Date.parse(success.rotatedAt);
  const latest = late ? success : { rotationId, rotatedAt };
  if (failure && overcomes({ rotationId, rotatedAt }, failure)) {
    return {
      state: { success: latest },
      alert: { state: 'recovered', since: failure.since, at: rotatedAt },
    };
  }
  return late ? undefined : { state: { failure, success: latest } };
}

/**
 * Whether the failure is history. That of the very rotation that succeeded always is: its last step may have failed after
 * the label moved. Of others the times decide, by the second: EventBridge dates the move of a label no finer.
 */
function overcomes(
  success: { rotationId: string; rotatedAt: string },
  failure: { rotationId: string; failedAt: string },
): boolean {
  return success.rotationId === failure.rotationId || second(success.rotatedAt) >= second(failure.failedAt);
}

const second = (instant: string): number => Math.floor(Date.parse(instant) / 1_000);
