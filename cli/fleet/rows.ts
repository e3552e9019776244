import type { FleetSecret } from '../../shared/fleet/secrets.ts';
import { knownGraceEnd, supersededSince } from '../../shared/grace/grace.ts';
import type { IsScheduled } from '../../shared/grace/schedule.ts';
import { incompleteVersion, versionWith } from '../../shared/labels/stages.ts';
import { digest } from '../../shared/reconciliation/open-findings.ts';
import { overdueSince } from '../../shared/reconciliation/suspicions.ts';
import type { Known } from './known.ts';
import type { MirrorStatus } from './mirrors.ts';
import type { FleetState } from './state.ts';

/** All that was read of a fleet. What was not, says why. */
export interface FleetFacts {
  readonly secrets: readonly FleetSecret[];
  readonly state: Known<FleetState>;
  readonly grace: Known<IsScheduled>;
  readonly mirrors: Known<ReadonlyMap<string, MirrorStatus>>;
  readonly staticFields: Known<ReadonlyMap<string, readonly string[]>>;
}

export interface InstanceStatus {
  readonly instance: string;
  readonly versionId: string;
  readonly adoptedAt: string;
  readonly isCurrent: boolean;
}
export interface ProblemStatus {
  /** A runbook page says more: `docs/runbook/{kind}.md`. */
  readonly kind: string;
  readonly since?: string;
}

/** A row of the fleet, and of the document that `--json` prints: fields are added to it, never changed. */
export interface StatusRow {
  readonly secret: string;
  readonly secretArn: string;
  readonly agent: string;
  readonly versionId?: string;
  /** A rotation is under way, or was given up. */
  readonly pendingVersionId?: string;
  /** Since the last rotation, or since the secret was made. */
  readonly ageSeconds?: number;
  readonly rotatedAt?: string;
  readonly rotationEnabled: boolean;
  readonly nextRotationAt?: string;
  readonly adoption: { readonly state: 'known'; readonly instances: readonly InstanceStatus[] } | Unknown;
  readonly mirror: { readonly state: MirrorStatus['state'] | 'none'; readonly reason?: string };
  readonly grace:
    | { readonly state: 'none' }
    | { readonly state: 'running'; readonly endsAt?: string }
    | Unknown;
  readonly health: { readonly state: 'known'; readonly problems: readonly ProblemStatus[] } | Unknown;
  readonly staticFields: { readonly state: 'known'; readonly fields: readonly string[] } | Unknown;
}
type Unknown = { readonly state: 'unknown'; readonly reason: string };

const unknownFor = (reason: string): Unknown => ({ state: 'unknown', reason });

/** A row for each secret, in their order. */
export function rowsOf(facts: FleetFacts, now: Date): readonly StatusRow[] {
  const adoptions = 'fact' in facts.state ? Map.groupBy(facts.state.fact.adoptions, arnOf) : undefined;
  const problems = 'fact' in facts.state ? problemsIn(facts.state.fact) : undefined;
  return facts.secrets.map((secret) => {
    const { arn, name, agentId, lastRotatedAt, nextRotationAt } = secret;
    const currentVersionId = versionWith('AWSCURRENT', secret);
    const pendingVersionId = incompleteVersion(secret);
    const began = lastRotatedAt ?? secret.createdAt;
    const reason = 'unknown' in facts.state ? facts.state.unknown : '';
    return {
      secret: name,
      secretArn: arn,
      agent: agentId,
      ...(currentVersionId !== undefined && { versionId: currentVersionId }),
      ...(pendingVersionId !== undefined && { pendingVersionId }),
      ...(began && { ageSeconds: Math.max(0, Math.floor((now.getTime() - began.getTime()) / 1_000)) }),
      ...(lastRotatedAt && { rotatedAt: lastRotatedAt.toISOString() }),
      rotationEnabled: secret.rotationEnabled,
      ...(nextRotationAt && { nextRotationAt: nextRotationAt.toISOString() }),
      adoption: adoptions
        ? {
            state: 'known',
            instances: (adoptions.get(arn) ?? [])
              .map(({ agentInstanceId, versionId, adoptedAt }) => ({
                instance: agentInstanceId,
                versionId,
                adoptedAt,
                isCurrent: versionId === currentVersionId,
              }))
              .sort((one, other) => (one.instance < other.instance ? -1 : 1)),
          }
        : unknownFor(reason),
      mirror: mirrorOf(secret, facts.mirrors),
      grace: graceOf(secret, facts.grace),
      health: problems
        ? { state: 'known', problems: eachKindOnce([...overdue(secret, now), ...problems(arn)]) }
        : unknownFor(reason),
      staticFields: staticOf(secret, facts.staticFields),
    };
  });
}

const arnOf = ({ secretArn }: { readonly secretArn: string }) => secretArn;

function problemsIn({ failing, findings }: FleetState): (arn: string) => readonly ProblemStatus[] {
  const rotations = new Map(failing.map(({ secretArn, since }) => [secretArn, since]));
  const open = findings.map(({ kind, since, open: keys }) => ({ kind, since, keys: new Set(keys) }));
  return (arn) => {
    const since = rotations.get(arn);
    const key = digest(arn);
    return [
      ...(since === undefined ? [] : [{ kind: 'rotation-failed', since }]),
      ...open
        .filter(({ keys }) => keys.has(key))
        .map(({ kind, since: from }) => ({ kind, ...(from !== undefined && { since: from }) })),
    ];
  };
}

/** By the reconciler's own rule, and told before the reconciler looks, which it does once an hour. */
function overdue(secret: FleetSecret, now: Date): readonly ProblemStatus[] {
  const due = overdueSince(secret, now);
  return due ? [{ kind: 'rotation-overdue', since: due.toISOString() }] : [];
}

/** Of two of a kind the first: it is dated by the secret itself, and a finding by when the fleet's first one was opened. */
const eachKindOnce = (problems: readonly ProblemStatus[]): readonly ProblemStatus[] =>
  problems.filter(({ kind }, at) => problems.findIndex((other) => other.kind === kind) === at);

function mirrorOf({ arn, tags }: FleetSecret, mirrors: FleetFacts['mirrors']): StatusRow['mirror'] {
  if (tags['keyturn:mirror'] === undefined) return { state: 'none' };
  if ('unknown' in mirrors) return unknownFor(mirrors.unknown);
  return mirrors.fact.get(arn) ?? unknownFor('it was not looked at');
}

function graceOf(secret: FleetSecret, grace: FleetFacts['grace']): StatusRow['grace'] {
  if ('unknown' in grace) return unknownFor(grace.unknown);
  const currentVersionId = versionWith('AWSCURRENT', secret);
  if (currentVersionId === undefined || !grace.fact({ secretArn: secret.arn, currentVersionId }))
    return { state: 'none' };
  const since = supersededSince(secret);
  // A tag that can't be read is a finding of its own, not the end of the table.
  const end = since && knownGraceEnd(since, secret.tags);
  if (!end || !('endsAt' in end)) return { state: 'running' };
  return { state: 'running', endsAt: end.endsAt.toISOString() };
}

function staticOf({ arn }: FleetSecret, fields: FleetFacts['staticFields']): StatusRow['staticFields'] {
  if ('unknown' in fields) return unknownFor(fields.unknown);
  const found = fields.fact.get(arn);
  return found
    ? { state: 'known', fields: found }
    : unknownFor('its value was not readable as a JSON object');
}

/** Whether a person should look. */
export const needsAttention = ({ health, mirror }: StatusRow): boolean =>
  (health.state === 'known' && health.problems.length > 0) ||
  ['behind', 'changed', 'missing', 'foreign'].includes(mirror.state);
