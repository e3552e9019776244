import type { Logger } from '@aws-lambda-powertools/logger';
import type * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { mirrorDriftDetected } from '../../events/mirror-drift-detected/event.ts';
import type { OutgoingEvent } from '../../shared/notification/event-bus.ts';
import {
  type MirrorFinding,
  type MirrorKind,
  mirrorKinds,
} from '../../shared/reconciliation/mirrors/mirror-finding.ts';
import { type MirrorsLook, reconcileMirrors } from '../../shared/reconciliation/mirrors/reconcile-mirrors.ts';
import { type ReportParts, reportsOf } from '../../shared/reconciliation/report-findings.ts';
import type { MirrorParts } from '../../shared/vault/examine-mirror.ts';
import { releaseMirror } from '../../shared/vault/mirror.ts';
import { type MirrorsReport, mirrorsRequest, type releaseAnswer } from './requests.ts';

export interface MirrorRunParts extends MirrorParts {
  /** What the ARNs of this deployment's secrets begin with. */
  readonly ownArns: string;
  readonly report: Omit<ReportParts<MirrorFinding>, 'eventOf'>;
  readonly isLate: () => boolean;
  readonly pause: (ms: number) => Promise<unknown>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** A Lambda's answer holds 6 MB. */
const rowsMax = 10_000;

export async function answerMirrors(
  request: unknown,
  parts: MirrorRunParts,
): Promise<MirrorsReport | z.output<typeof releaseAnswer>> {
  const asked = parsed('The request', mirrorsRequest, request);
  if (asked.action === 'reconcile') return healMirrors(asked.dryRun, parts);
  const { secret } = asked;
  const outcome = await releaseMirror(secret, parts);
  parts.log.info('mirror released', { secret, outcome });
  return { secret, outcome };
}

/**
 * Heals the mirrors, then tells of what was found. Killed before it told of all, the next run finds what was healed no
 * more, so a drift may be healed and not told of; one that a person has to look at is found again.
 */
async function healMirrors(
  dryRun: boolean,
  { report, log, ownArns, isLate, pause, ...parts }: MirrorRunParts,
): Promise<MirrorsReport> {
  const began = report.now();
  const look = await reconcileMirrors(parts, {
    heals: !dryRun,
    ownArns,
    now: report.now,
    isLate,
    pause,
    onFailure: (failure) => log.warn('a mirror could not be looked at', { ...failure }),
  });
  const { mirrored, findings, checked, orphansChecked, stopped } = look;
  if (!dryRun) {
    const reports = reportsOf({ ...report, eventOf: driftEvent });
    for (const kind of mirrorKinds) {
      const found = findings.filter((finding) => finding.kind === kind);
      await reports.report(kind, { findings: found, checked: lookedAt(kind, look), began });
    }
    reports.assertAllTold();
  }
  const isFinished = orphansChecked && areAllChecked(look);
  log.info('mirrors reconciled', {
    dryRun,
    mirrored: mirrored.length,
    checked: checked.size,
    findings: findings.length,
    isFinished,
    ...(stopped !== undefined && { stopped }),
  });
  const amiss = new Set(findings.map(({ secretArn }) => secretArn));
  return {
    mirrored: mirrored.length,
    checked: checked.size,
    isFinished,
    isVaultDown: stopped === 'vault',
    inStep: mirrored
      .filter(({ secretArn }) => checked.has(secretArn) && !amiss.has(secretArn))
      .slice(0, rowsMax)
      .map(({ secret, agentId, path }) => ({ secret, agentId, path })),
    findings: findings.map(({ kind, secret, agentId, path, explanation, outcome }) => ({
      kind,
      secret,
      agentId,
      path,
      explanation,
      outcome,
    })),
  };
}

const areAllChecked = ({ mirrored, checked }: MirrorsLook): boolean =>
  mirrored.every(({ secretArn }) => checked.has(secretArn));

/** Those who own an orphan aren't in the list of the mirrored. */
function lookedAt(kind: MirrorKind, look: MirrorsLook): ReadonlySet<string> | 'all' {
  if (kind === 'mirror-orphaned') return look.orphansChecked ? 'all' : new Set();
  return areAllChecked(look) ? 'all' : look.checked;
}

/** A stamp may hold anything that somebody wrote there: what isn't a version's id is left out. */
export function driftEvent(finding: MirrorFinding, at: Date): OutgoingEvent {
  const { kind, path, secret, secretArn, agentId, outcome, stampedVersionId, currentVersionId } = finding;
  const isId = (id: string | undefined) => id !== undefined && /^[\w-]{32,64}$/.test(id);
  return mirrorDriftDetected.of({
    schemaVersion: 1,
    kind,
    path,
    secret,
    secretArn,
    agentId,
    outcome,
    foundAt: at.toISOString(),
    ...(isId(stampedVersionId) && { stampedVersionId }),
    ...(isId(currentVersionId) && { currentVersionId }),
  });
}
