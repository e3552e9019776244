import { describe, expect, test } from 'vitest';
import { findingOpened } from '../../../events/finding-opened/event.ts';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import type { OutgoingEvent } from '../../../shared/notification/event-bus.ts';
import type { Finding } from '../../../shared/reconciliation/finding.ts';
import type { FindingsAlert, OpenFindings } from '../../../shared/reconciliation/open-findings.ts';
import { reportFindings } from '../../../shared/reconciliation/report-findings.ts';
import { recordsInMemory } from '../state/in-memory.ts';

const arnOf = (agentId: string) =>
  `arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/${agentId}/credentials-a1B2c3`;
const overdue = (agentId: string): Finding => ({
  kind: 'rotation-overdue',
  secret: `agents/${agentId}/credentials`,
  secretArn: arnOf(agentId),
  agentId,
  explanation: 'its rotation was due 3 hours ago',
  outcome: 'repaired',
});

function onCall() {
  const alerts: AlertMessage[] = [];
  const events: OutgoingEvent[] = [];
  const parts = {
    records: recordsInMemory<OpenFindings, FindingsAlert>(),
    bus: { publish: async (published: readonly OutgoingEvent[]) => void events.push(...published) },
    eventOf: ({ kind, secret, secretArn, agentId, outcome }: Finding, at: Date) =>
      findingOpened.of({
        schemaVersion: 1,
        kind,
        secret,
        secretArn,
        agentId,
        outcome,
        foundAt: at.toISOString(),
      }),
    send: async (message: AlertMessage) => void alerts.push(message),
    runbookUrl: 'https://runbook.example',
    now: () => new Date('2026-11-24T09:00:00Z'),
  };
  const look = (findings: readonly Finding[], checked: ReadonlySet<string> | 'all' = 'all') =>
    reportFindings('rotation-overdue', findings, checked, parts);
  return { alerts, events, look, parts };
}

describe('what a look at the fleet found', () => {
  test('is told once an episode, with its runbook page, and once more when nothing is left', async () => {
    const { alerts, events, look } = onCall();
    await look([overdue('a')]);
    await look([overdue('a')]);
    await look([]);
    await look([]);
    expect(alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
    expect(alerts[0]).toMatchObject({
      affects: 'agents/a/credentials: its rotation was due 3 hours ago (repaired)',
      runbook: 'https://runbook.example/rotation-overdue.md',
    });
    expect(events).toHaveLength(1);
  });

  test('leaves the record alone where it is no news, so that a hundred runs at once keep none from telling', async () => {
    const { alerts, look } = onCall();
    await Promise.all([look([overdue('a')]), ...Array.from({ length: 100 }, () => look([]))]);
    expect(alerts.map(({ state }) => state)[0]).toBe('found');
  });

  test('is one alert and an event each, for a thousand secrets at once', async () => {
    const { alerts, events, look } = onCall();
    await look(Array.from({ length: 1_000 }, (_, index) => overdue(`agent-${index}`)));
    expect(alerts).toHaveLength(1);
    expect(alerts[0]?.what).toBe('rotation overdue: 1000 secret(s)');
    expect(alerts[0]?.affects).toMatch(/; and 990 more$/);
    expect(events).toHaveLength(1_000);
  });

  test('is told again for a secret that joins an open episode, and for it alone', async () => {
    const { alerts, events, look } = onCall();
    await look([overdue('a')]);
    await look([overdue('a'), overdue('b')]);
    expect(alerts[1]?.affects).toMatch(/^agents\/b\/credentials/);
    expect(events).toHaveLength(2);
  });

  test('stays open for secrets that a smaller look did not look at', async () => {
    const { alerts, look } = onCall();
    await look([overdue('a'), overdue('b')]);
    await look([], new Set([arnOf('a')]));
    expect(alerts.map(({ state }) => state)).toEqual(['found']);
    await look([], new Set([arnOf('b')]));
    expect(alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
  });

  test('whose alert SNS refused is told by the next look', async () => {
    const { alerts, look, parts } = onCall();
    const refused = reportFindings('rotation-overdue', [overdue('a')], 'all', {
      ...parts,
      send: async () => {
        throw new Error('refused');
      },
    });
    await expect(refused).rejects.toThrow('refused');
    expect(alerts).toEqual([]);
    const later = { ...parts, now: () => new Date('2026-11-24T10:00:00Z') };
    await reportFindings('rotation-overdue', [overdue('a')], 'all', later);
    expect(alerts.map(({ state }) => state)).toEqual(['found']);
    await look([]);
  });
});
