import type { Logger } from '@aws-lambda-powertools/logger';
import { mirrorDriftDetected } from '../../events/mirror-drift-detected/event.ts';
import type { OutgoingEvent } from '../../shared/notification/event-bus.ts';
import {
  type MirrorFinding,
  type MirrorKind,
  mirrorKinds,
} from '../../shared/reconciliation/mirrors/mirror-finding.ts';
import { reconcileMirrors } from '../../shared/reconciliation/mirrors/reconcile-mirrors.ts';
import { type ReportParts, reportFindings } from '../../shared/reconciliation/report-findings.ts';
import type { MirrorParts } from '../../shared/vault/mirror.ts';

export interface MirrorRunParts extends MirrorParts {
  readonly ownArns: string;
  readonly report: Omit<ReportParts<MirrorFinding>, 'eventOf'>;
  readonly isLate: () => boolean;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/**
 * Heals the mirrors, then tells of what was found. Killed before it told of all, the next run finds what was healed no
 * more, so a drift may be healed and not told of; one that a person has to look at is found again.
 */
export async function healMirrors({ report, log, ...parts }: MirrorRunParts): Promise<void> {
  const { mirrored, findings, checked, orphansChecked, stopped } = await reconcileMirrors(parts, {
    heals: true,
    ownArns: parts.ownArns,
    now: report.now,
    isLate: parts.isLate,
    onFailure: (failure) => log.warn('a mirror could not be reconciled', { ...failure }),
  });
  const isWhole = stopped === undefined && mirrored.every(({ secretArn }) => checked.has(secretArn));
  for (const kind of mirrorKinds) {
    await reportFindings(
      kind,
      findings.filter((finding) => finding.kind === kind),
      lookedAt(kind),
      { ...report, eventOf: driftEvent },
    );
  }
  log.info('mirrors reconciled', {
    mirrored: mirrored.length,
    checked: checked.size,
    findings: findings.length,
    orphansChecked,
    ...(stopped !== undefined && { stopped }),
  });

  /** Those who own an orphan aren't in the list of the mirrored. */
  function lookedAt(kind: MirrorKind): ReadonlySet<string> | 'all' {
    if (kind === 'mirror-orphaned') return orphansChecked ? 'all' : new Set();
    return isWhole ? 'all' : checked;
  }
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
