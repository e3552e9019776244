import pMap from 'p-map';
import * as z from 'zod';
import { type FleetSecret, listFleet } from '../../shared/fleet/secrets.ts';
import { errorClassOf } from '../../shared/observability/error-class.ts';
import type { Finding } from '../../shared/reconciliation/finding.ts';
import { type ReportParts, reportsOf } from '../../shared/reconciliation/report-findings.ts';
import { TargetUnreachableError } from '../../shared/rotators/errors.ts';
import type { FleetReport } from './answers.ts';
import { askedSecret } from './asked-secret.ts';
import { graceScheduleLost } from './grace-schedule-lost.ts';
import { finding, type How, type Kind, type ReconcileParts, type Suspects } from './kind.ts';
import { rotationOff } from './rotation-off.ts';
import { rotationOverdue } from './rotation-overdue.ts';
import { rotationStuck } from './rotation-stuck.ts';
import { supersededStillValid } from './superseded-still-valid.ts';
import { targetDrifted } from './target-drifted.ts';

/** What lets somebody in who shouldn't be comes first; what is slowest last. */
export const kinds: readonly Kind[] = [
  supersededStillValid,
  graceScheduleLost,
  rotationStuck,
  rotationOff,
  targetDrifted,
  rotationOverdue,
];

/** Runs that continue each other within an hour, until the next one begins anyway. */
const rounds = 4;

export const reconcileRequest = z.strictObject({
  action: z.literal('reconcile'),
  /** Only look: nothing is written, and nobody is told. */
  dryRun: z.boolean().default(false),
  /** Names or ARNs; without them the whole fleet. */
  secrets: z.array(z.string().min(1).max(2_048)).max(1_000).optional(),
  /** One of the hourly runs, not a person's command. */
  isScheduled: z.boolean().default(false),
  /** Which run this is of those that continue each other. */
  round: z.int().min(1).max(rounds).default(1),
});
export type ReconcileRequest = z.output<typeof reconcileRequest>;

export interface FleetParts extends ReconcileParts {
  readonly report: ReportParts;
  /** Until this run is ended from outside. */
  readonly remainingMs: () => number;
}

/** Secrets that are looked at closely at the same time. */
const atOnce = 10;
/** Secrets Manager tells the time by the second, so a run may have begun as much earlier than it says. */
const grainMs = 1_000;
/** A rotation's four steps, of 30 s each, may have begun. */
const reserveMs = 150_000;

/**
 * Looks at the fleet kind by kind, repairs what can be, and tells on-call. Its only memory is what was told: a run that is
 * killed, or runs beside another one, leaves nothing that the next doesn't find in the labels and at the targets. A kind that can't
 * be looked for, or told of, keeps no later one from it.
 *
 * @throws what a report failed with, when all else is done: the delivery is to come again.
 */
export async function reconcileFleet(
  { dryRun, secrets, isScheduled }: ReconcileRequest,
  parts: FleetParts,
): Promise<FleetReport> {
  const { secretsManager } = parts;
  const began = new Date(parts.report.now().getTime() - grainMs);
  const fleet = secrets
    ? (await pMap(secrets, (id) => askedSecret(id, parts), { concurrency: atOnce })).flatMap(
        (secret) => secret ?? [],
      )
    : await listFleet(secretsManager);
  const findings: Finding[] = [];
  const unexamined = new Set<string>();
  const unexaminedKinds: string[] = [];
  const reports = reportsOf(parts.report);
  let isFinished = true;
  for (const kind of kinds) {
    const named = await suspectsOf(kind, fleet, parts, { isScheduled });
    if (!named) {
      unexaminedKinds.push(kind.kind);
      continue;
    }
    const { suspects, checked } = named;
    // Not looked at closely, so what was found of them stays open. A server that is down is the health check's to tell.
    const missed = new Map<string, 'target down' | 'failed' | 'late'>();
    const found = await pMap(
      inTurn(suspects, parts.now()),
      async (secret) => {
        if (parts.remainingMs() < reserveMs) {
          isFinished = false;
          if (kind.provesSuspects) return finding(kind.kind, secret, 'not looked at closely yet', 'waiting');
          missed.set(secret.arn, 'late');
          return undefined;
        }
        return settled(kind, secret, dryRun ? 'look' : 'repair', parts, (why) => missed.set(secret.arn, why));
      },
      { concurrency: atOnce },
    );
    const ofKind = found.flatMap((each) => each ?? []);
    findings.push(...ofKind);
    for (const { arn, name } of fleet) if (missed.get(arn) === 'failed') unexamined.add(name);
    if (dryRun) continue;
    const whole = checked === 'all' && secrets === undefined && missed.size === 0;
    const covered = fleet.flatMap(({ arn }) =>
      (checked === 'all' || checked.has(arn)) && !missed.has(arn) ? arn : [],
    );
    const look = { findings: ofKind, checked: whole ? ('all' as const) : new Set(covered), began };
    await reports.report(kind.kind, look);
  }
  reports.assertAllTold();
  return { secrets: fleet.length, findings, unexamined: [...unexamined], unexaminedKinds, isFinished };
}

/** Undefined where they can't be named: what was found of the kind stays open. */
async function suspectsOf(
  kind: Kind,
  fleet: readonly FleetSecret[],
  parts: FleetParts,
  run: { readonly isScheduled: boolean },
): Promise<Suspects | undefined> {
  try {
    return await kind.suspects(fleet, parts, run);
  } catch (error) {
    parts.log.warn('Not looked for', { kind: kind.kind, errorClass: errorClassOf(error) });
    return undefined;
  }
}

/** One secret that can't be looked at keeps no other from it. */
async function settled(
  kind: Kind,
  secret: FleetSecret,
  how: How,
  parts: FleetParts,
  missed: (why: 'target down' | 'failed') => void,
): Promise<Finding | undefined> {
  try {
    return await kind.settle(secret, how, parts);
  } catch (error) {
    missed(error instanceof TargetUnreachableError ? 'target down' : 'failed');
    const errorClass = errorClassOf(error);
    parts.log.warn('Not examined', { kind: kind.kind, secretArn: secret.arn, errorClass });
    return undefined;
  }
}

/** What an hourly run that had not enough time asks for. A person's command asks again by itself. */
export function nextRound(
  { isScheduled, round }: Pick<ReconcileRequest, 'isScheduled' | 'round'>,
  { isFinished }: Pick<FleetReport, 'isFinished'>,
): ReconcileRequest | undefined {
  if (!isScheduled || isFinished || round >= rounds) return undefined;
  return { action: 'reconcile', dryRun: false, isScheduled, round: round + 1 };
}

/** Begins elsewhere each hour, so that those which take all the time and never heal don't keep the others waiting for ever. */
function inTurn(suspects: readonly FleetSecret[], now: Date): readonly FleetSecret[] {
  const hour = Math.floor(now.getTime() / 3_600_000);
  const start = suspects.length === 0 ? 0 : (hour * 7_919) % suspects.length;
  return [...suspects.slice(start), ...suspects.slice(0, start)];
}
