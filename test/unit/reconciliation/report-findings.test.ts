import { describe, expect, test } from 'vitest';
import { findingOpened } from '../../../events/finding-opened/event.ts';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import type { OutgoingEvent } from '../../../shared/notification/event-bus.ts';
import { effectOf } from '../../../shared/reconciliation/effects.ts';
import type { Finding } from '../../../shared/reconciliation/finding.ts';
import type { FindingsAlert, Look, OpenFindings } from '../../../shared/reconciliation/open-findings.ts';
import { reportFindings, reportsOf } from '../../../shared/reconciliation/report-findings.ts';
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
const needsPerson = (agentId: string): Finding => ({ ...overdue(agentId), outcome: 'needs a person' });

function onCall() {
  const alerts: AlertMessage[] = [];
  const events: OutgoingEvent[] = [];
  const clock = { now: Date.parse('2026-11-24T09:00:00Z') };
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
    now: () => new Date(clock.now),
  };
  const look = (
    findings: readonly Finding[],
    { checked = 'all', began = parts.now() }: Partial<Pick<Look, 'checked' | 'began'>> = {},
  ) => reportFindings('rotation-overdue', { findings, checked, began }, parts);
  /** Looks now, and is heard later. */
  const slowLook = (findings: readonly Finding[]) => {
    const began = parts.now();
    return () => look(findings, { began });
  };
  return { alerts, events, look, slowLook, parts, minutes: (count: number) => (clock.now += count * 60_000) };
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
      what: 'rotation overdue: 1 secret, nobody is needed',
      urgency: 'none',
      affects: effectOf('rotation-overdue'),
      secrets: ['agents/a/credentials: its rotation was due 3 hours ago (repaired)'],
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
    expect(alerts[0]?.what).toBe('rotation overdue: 1000 secrets, nobody is needed');
    expect(alerts[0]?.secrets).toHaveLength(11);
    expect(alerts[0]?.secrets?.at(-1)).toBe('and 990 more');
    expect(events).toHaveLength(1_000);
  });

  test('is told again for a secret that joins an open episode, and for it alone', async () => {
    const { alerts, events, look } = onCall();
    await look([overdue('a')]);
    await look([overdue('a'), overdue('b')]);
    expect(alerts[1]?.secrets).toEqual([expect.stringMatching(/^agents\/b\/credentials/)]);
    expect(events).toHaveLength(2);
  });

  test('is told once more, and for it alone, of a secret that needs a person by now', async () => {
    const { alerts, events, look } = onCall();
    await look([overdue('a'), overdue('b')]);
    await look([overdue('a'), needsPerson('b')]);
    await look([overdue('a'), overdue('b')]);
    await look([overdue('a'), needsPerson('b')]);
    expect(alerts).toHaveLength(2);
    expect(alerts[1]).toMatchObject({
      what: 'rotation overdue: 1 secret, 1 needs a person',
      state: 'found',
      urgency: 'ticket',
      secrets: [expect.stringMatching(/^agents\/b\/credentials: .* \(needs a person\)$/)],
    });
    expect(events).toHaveLength(2);
    await look([]);
    await look([needsPerson('b')]);
    expect(alerts.map(({ state }) => state)).toEqual(['found', 'found', 'recovered', 'found']);
  });

  test('shows those first that need a person', async () => {
    const { alerts, look } = onCall();
    await look([...Array.from({ length: 20 }, (_, index) => overdue(`agent-${index}`)), needsPerson('b')]);
    expect(alerts[0]?.what).toBe('rotation overdue: 21 secrets, 1 needs a person');
    expect(alerts[0]?.secrets?.[0]).toMatch(/^agents\/b\/credentials/);
  });

  test('stays open for secrets that a smaller look did not look at', async () => {
    const { alerts, look } = onCall();
    await look([overdue('a'), overdue('b')]);
    await look([], { checked: new Set([arnOf('a')]) });
    expect(alerts.map(({ state }) => state)).toEqual(['found']);
    await look([], { checked: new Set([arnOf('b')]) });
    expect(alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
  });

  test('whose alert SNS refused is told by the next look', async () => {
    const { alerts, look, parts, minutes } = onCall();
    const a = { findings: [overdue('a')], checked: 'all', began: parts.now() } as const;
    const refused = reportFindings('rotation-overdue', a, {
      ...parts,
      send: async () => {
        throw new Error('refused');
      },
    });
    await expect(refused).rejects.toThrow('refused');
    expect(alerts).toEqual([]);
    minutes(60);
    await look([overdue('a')]);
    expect(alerts.map(({ state }) => state)).toEqual(['found']);
  });
});

test('a kind that can not be told of keeps no other from it, and the run learns of it in the end', async () => {
  const { alerts, parts } = onCall();
  const { read, write } = parts.records;
  const records: typeof parts.records = {
    write,
    async read(key) {
      if (key === 'rotation-off') throw new Error('no such right');
      return read(key);
    },
  };
  const reports = reportsOf({ ...parts, records });
  const look = { findings: [overdue('a')], checked: 'all', began: parts.now() } as const;
  await reports.report('rotation-off', look);
  await reports.report('rotation-overdue', look);
  expect(alerts.map(({ backend }) => backend)).toEqual(['finding:rotation-overdue']);
  expect(() => reports.assertAllTold()).toThrow('no such right');
});

describe('a look that is heard late', () => {
  test('opens no episode that began and ended since, and tells of what else it found', async () => {
    const { alerts, events, look, slowLook, minutes } = onCall();
    const late = slowLook([overdue('a'), overdue('b')]);
    minutes(1);
    await look([overdue('a')]);
    minutes(1);
    await look([]);
    minutes(1);
    await late();
    expect(alerts.map(({ state }) => state)).toEqual(['found', 'recovered', 'found']);
    expect(alerts[2]?.secrets).toEqual([expect.stringMatching(/^agents\/b\/credentials: /)]);
    expect(events).toHaveLength(2);
  });

  test('ends no episode that began since', async () => {
    const { alerts, look, slowLook, minutes } = onCall();
    const late = slowLook([]);
    minutes(1);
    await look([overdue('a')]);
    minutes(13);
    await late();
    await look([overdue('a')]);
    expect(alerts.map(({ state }) => state)).toEqual(['found']);
    minutes(60);
    await look([]);
    expect(alerts.map(({ state }) => state)).toEqual(['found', 'recovered']);
  });

  test('is none where it begins after the end: what is amiss again is told again, at once', async () => {
    const { alerts, look, minutes } = onCall();
    await look([overdue('a')]);
    minutes(1);
    await look([]);
    minutes(1);
    await look([overdue('a')]);
    expect(alerts.map(({ state }) => state)).toEqual(['found', 'recovered', 'found']);
  });

  test('is told from others by clocks, of which one that was days fast silences none', async () => {
    const { alerts, look, minutes } = onCall();
    minutes(3 * 1_440);
    await look([overdue('a')]);
    await look([]);
    minutes(-3 * 1_440);
    await look([overdue('a')]);
    expect(alerts.map(({ state }) => state)).toEqual(['found', 'recovered', 'found']);
  });
});

test('ten thousand findings that open or close at once fit into one item of the table', async () => {
  const { look, parts, minutes } = onCall();
  const all = Array.from({ length: 10_000 }, (_, index) => needsPerson(`agent-${index}`));
  const size = async () => JSON.stringify(await parts.records.read('rotation-overdue')).length;
  await look(all);
  expect(await size()).toBeLessThan(400 * 1_024);
  minutes(1);
  await look([]);
  expect(await size()).toBeLessThan(400 * 1_024);
  // And what is over is not kept.
  minutes(60);
  await look([overdue('a')]);
  expect(await size()).toBeLessThan(1_024);
});
