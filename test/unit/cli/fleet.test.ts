import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { episodesIn } from '../../../cli/fleet/episodes.ts';
import { cellsOf, duration, unknownIn } from '../../../cli/fleet/format.ts';
import { type FleetFacts, needsAttention, rowsOf } from '../../../cli/fleet/rows.ts';
import { staticIn } from '../../../cli/fleet/static-fields.ts';
import { liveEvent } from '../../../cli/live-events.ts';
import sample from '../../../events/rotation-failed/sample.json' with { type: 'json' };
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import type { FleetSecret } from '../../../shared/fleet/secrets.ts';
import { digest, looked, noFindings } from '../../../shared/reconciliation/open-findings.ts';

const now = new Date('2026-11-24T12:00:00Z');
const hoursAgo = (hours: number) => new Date(now.getTime() - hours * 3_600_000);
const versionId = '6f1b8a52-3c7e-4d0a-9a51-2f0c5c1e7b11';
const secret: FleetSecret = {
  arn: 'arn:1',
  name: 'agents/billing-7/credentials',
  agentId: 'billing-7',
  tags: { 'keyturn:grace': '2h', 'keyturn:mirror': 'agents/billing-7/credentials' },
  stages: { [versionId]: ['AWSCURRENT', 'AWSPENDING'] },
  rotationEnabled: true,
  createdAt: hoursAgo(100),
  lastRotatedAt: hoursAgo(1),
  nextRotationAt: hoursAgo(-48),
  everyDays: 30,
  schedule: undefined,
  duration: undefined,
  isScheduledForDeletion: false,
};
const facts: FleetFacts = {
  secrets: [secret],
  state: { fact: { backends: [], findings: [], failing: [], adoptions: [] } },
  grace: { fact: ({ currentVersionId }) => currentVersionId === versionId },
  mirrors: { fact: new Map([['arn:1', { state: 'current' }]]) },
  staticFields: { unknown: 'values were not read: say --fields' },
};
const shown = (changed: Partial<FleetFacts>) => {
  const rows = rowsOf({ ...facts, ...changed }, now);
  const [row] = rows;
  if (!row) throw new Error('no row');
  return {
    row,
    cells: cellsOf(row, now, false, picocolors.createColors(false)),
    unknown: unknownIn(rows, false),
  };
};

describe('a row of keyturn status', () => {
  it('says how a secret that is well stands', () => {
    const { row, cells, unknown } = shown({});
    expect(cells).toEqual([
      'agents/billing-7/credentials',
      'billing-7',
      '60m',
      '60m ago',
      'in 2d',
      '6f1b8a52',
      '-',
      'current',
      '60m left',
      'well',
    ]);
    expect(needsAttention(row)).toBe(false);
    expect(unknown).toEqual([]);
  });

  it('shows what is open for its secret, and for no other', () => {
    const since = hoursAgo(2).toISOString();
    const state = {
      backends: [],
      adoptions: [],
      failing: [{ secretArn: 'arn:2', rotationId: versionId, since, failedAt: since }],
      findings: [{ kind: 'stuck-rotation', open: [digest('arn:1')], since }],
    };
    const { row, cells } = shown({ state: { fact: state } });
    expect(cells.at(-1)).toBe('stuck-rotation');
    expect(needsAttention(row)).toBe(true);
  });

  it.each(['repaired', 'needs a person'] as const)('names what the reconciler has told as: %s', (outcome) => {
    const found = { kind: 'stuck', secret: secret.name, secretArn: 'arn:1', agentId: 'billing-7' };
    const findings = [{ ...found, explanation: '', outcome }];
    const told = looked(noFindings, { findings, checked: 'all', began: now }, now)?.state;
    const state = {
      backends: [],
      adoptions: [],
      failing: [],
      findings: [{ kind: 'stuck', open: told?.open ?? [] }],
    };
    expect(shown({ state: { fact: state } }).cells.at(-1)).toBe('stuck');
    expect(episodesIn(state, [secret])).toMatchObject([{ count: 1, secrets: [secret.name] }]);
  });

  it('says that a rotation is late, or off, or under way', () => {
    const cellsFor = (changed: Partial<FleetSecret>) => shown({ secrets: [{ ...secret, ...changed }] }).cells;
    expect(cellsFor({ nextRotationAt: hoursAgo(5) })[4]).toBe('5h late');
    expect(cellsFor({ rotationEnabled: false })[4]).toBe('off');
    expect(cellsFor({ stages: { [versionId]: ['AWSCURRENT'], b: ['AWSPENDING'] } }).at(-1)).toBe('rotating');
  });

  describe('of which the rotation is overdue', () => {
    const due = hoursAgo(5);
    const late: FleetSecret = { ...secret, nextRotationAt: due };
    const problemsOf = (changed: Partial<FleetFacts>) => {
      const { row } = shown(changed);
      return { health: row.health, attention: needsAttention(row) };
    };
    const overdue = {
      health: { state: 'known', problems: [{ kind: 'rotation-overdue', since: due.toISOString() }] },
      attention: true,
    };
    const well = { health: { state: 'known', problems: [] }, attention: false };

    it('is told as the reconciler tells it: an hour late, and no rotation under way', () => {
      expect(problemsOf({ secrets: [late] })).toEqual(overdue);
      expect(problemsOf({ secrets: [{ ...late, nextRotationAt: hoursAgo(0.9) }] })).toEqual(well);
      const rotating = { ...late, stages: { [versionId]: ['AWSCURRENT'], b: ['AWSPENDING'] } };
      expect(problemsOf({ secrets: [rotating] })).toEqual(well);
    });

    it('is told once where the reconciler has found it too, by when its own rotation was due', () => {
      const since = hoursAgo(3).toISOString();
      const findings = [{ kind: 'rotation-overdue', open: [digest('arn:1')], since }];
      const state = { fact: { backends: [], adoptions: [], failing: [], findings } };
      expect(problemsOf({ secrets: [late], state })).toEqual(overdue);
      expect(problemsOf({ state }).health).toEqual({
        state: 'known',
        problems: [{ kind: 'rotation-overdue', since }],
      });
    });
  });

  it('counts the grace period of a rotation without a date from the latest change', () => {
    const undated = { ...secret, lastRotatedAt: undefined, lastChangedAt: hoursAgo(0.5) };
    const { row } = shown({ secrets: [undated] });
    expect(row.grace).toEqual({ state: 'running', endsAt: hoursAgo(-1.5).toISOString() });
  });

  it('says that a grace period runs, and no end, where its tag can not be read', () => {
    const { row, cells } = shown({ secrets: [{ ...secret, tags: { 'keyturn:grace': 'soon' } }] });
    expect(row.grace).toEqual({ state: 'running' });
    expect(cells[8]).toBe('running');
  });

  it('says why something can not be known, once for the whole fleet', () => {
    const state = { unknown: 'AWS refused dynamodb:Scan: these credentials may not do that' };
    const { cells, unknown } = shown({ state });
    expect(cells.slice(6)).toEqual(['?', 'current', '60m left', '?']);
    expect(unknown).toEqual([`adopted: ${state.unknown}`, `health: ${state.unknown}`]);
  });
});

it.each([
  [59, '59s'],
  [150, '2m'],
  [3 * 3_600, '3h'],
  [-3 * 86_400, '3d'],
])('%d seconds read as %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it('finds static fields, and takes no value for a name', () => {
  const login = { engine: 'postgres', host: 'db', username: 'a', password: 'b' };
  expect(staticIn(SecretValue.of(JSON.stringify({ ...login, api_key: 'k' })))).toEqual(['api_key']);
  expect(staticIn(SecretValue.of(JSON.stringify({ orders: login, 'sk-live 1': 'k' })))).toEqual([
    '(a name that is none)',
  ]);
  expect(staticIn(SecretValue.of('canary'))).toBeUndefined();
});

it('reads an event of ours, and nothing else that somebody put on the bus', () => {
  const more = { ...sample, detail: { ...sample.detail, password: 'canary' } };
  expect(liveEvent(JSON.stringify(sample))).toEqual({
    time: sample.time,
    type: 'Rotation Failed',
    detail: sample.detail,
  });
  expect(liveEvent(JSON.stringify(more))).toBeUndefined();
  expect(liveEvent('not JSON')).toBeUndefined();
});
