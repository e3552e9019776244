import { findingOpened } from '../../events/finding-opened/event.ts';
import type { OutgoingEvent } from '../../shared/notification/event-bus.ts';
import type { Finding } from '../../shared/reconciliation/finding.ts';

/** "Finding Opened": identifiers and the outcome; the explanation is for people, in the alert. */
export function findingEvent(
  { kind, secret, secretArn, agentId, outcome }: Finding,
  foundAt: Date,
): OutgoingEvent {
  return findingOpened.of({
    schemaVersion: 1,
    kind,
    secret,
    secretArn,
    agentId,
    outcome,
    foundAt: foundAt.toISOString(),
  });
}
