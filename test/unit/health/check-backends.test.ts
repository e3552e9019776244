import { expect, test } from 'vitest';
import { alertMessage } from '../../../functions/check-backend-health/alert-message.ts';
import {
  checkBackends,
  HealthNotRecordedError,
  type ProbeBackend,
} from '../../../functions/check-backend-health/check-backends.ts';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import type { HealthState } from '../../../shared/state/health-state.ts';
import { recordsInMemory } from '../state/in-memory.ts';

const hangs: ProbeBackend = () => new Promise(() => undefined);
const works: ProbeBackend = async () => undefined;
const breaks: ProbeBackend = async () => {
  throw new TypeError('connect to postgres://billing:canary-7@db');
};

/** An on-call person's inbox, and a check whose runs are minutes. */
function onCall(rule = { window: 3, failures: 2 }) {
  const inbox: AlertMessage[] = [];
  const logged: unknown[] = [];
  const state: HealthState = recordsInMemory();
  const minute = (number: number, backends: Record<string, ProbeBackend>, over = state) =>
    checkBackends(new Map(Object.entries(backends)), {
      state: over,
      rule,
      runId: `run-${number}`,
      deadlineMs: 5,
      count: () => undefined,
      now: () => new Date(number * 60_000),
      log: { warn: (...line) => logged.push(line) },
      send: async (backend, alert) => {
        inbox.push(alertMessage(backend, alert, 'https://runbook.example'));
      },
    });
  return { inbox, logged, minute, state };
}

test('a backend that hangs or breaks is told of with its reason, once, and holds up no other', async () => {
  const { inbox, minute } = onCall();
  for (const number of [1, 2, 3]) await minute(number, { hanging: hangs, breaking: breaks, fine: works });
  expect(inbox.map(({ backend, state, reason }) => ({ backend, state, reason }))).toEqual([
    { backend: 'breaking', state: 'unhealthy', reason: 'TypeError' },
    { backend: 'hanging', state: 'unhealthy', reason: 'No answer within 0.005 s' },
  ]);
});

test('the message says what, since when, what it affects and where the runbook page is', async () => {
  const { inbox, minute } = onCall();
  const sealed: ProbeBackend = async () => ({ severity: 'unhealthy', reason: 'Vault is sealed' });
  for (const number of [1, 2]) await minute(number, { vault: sealed });
  for (const number of [3, 4, 5]) await minute(number, { vault: works });
  expect(inbox).toEqual([
    {
      what: 'vault is unhealthy',
      reason: 'Vault is sealed',
      backend: 'vault',
      state: 'unhealthy',
      urgency: 'page',
      since: '1970-01-01T00:01:00.000Z',
      at: '1970-01-01T00:02:00.000Z',
      affects: 'mirrors in Vault and the agents that read them',
      runbook: 'https://runbook.example/backend-unhealthy.md',
    },
    expect.objectContaining({
      what: 'vault has recovered',
      state: 'recovered',
      urgency: 'none',
      at: '1970-01-01T00:05:00.000Z',
      affects: 'nothing any more',
    }),
  ]);
});

test('a backend that works but will not for long is degraded', async () => {
  const { inbox, minute } = onCall();
  const ending: ProbeBackend = async () => ({ severity: 'degraded', reason: 'not renewable' });
  for (const number of [1, 2]) await minute(number, { vault: ending });
  expect(inbox[0]).toMatchObject({ what: 'vault is degraded', state: 'degraded' });
});

test('how many probes of how many must fail is settable', async () => {
  const { inbox, minute } = onCall({ window: 5, failures: 4 });
  for (const number of [1, 2, 3]) await minute(number, { vault: breaks });
  expect(inbox).toEqual([]);
  await minute(4, { vault: breaks });
  expect(inbox).toHaveLength(1);
});

test('a state that can not be kept fails the run, after the others were recorded', async () => {
  const { inbox, minute, state } = onCall();
  const broken: HealthState = {
    ...state,
    read: async (key) => {
      if (key === 'first') throw new Error('DynamoDB is away');
      return state.read(key);
    },
  };
  for (const number of [1, 2]) {
    await expect(minute(number, { first: breaks, second: breaks }, broken)).rejects.toThrow(
      HealthNotRecordedError,
    );
  }
  expect(inbox.map(({ backend }) => backend)).toEqual(['second']);
});

test('no message of a library reaches the log or the alert', async () => {
  const { inbox, logged, minute } = onCall();
  for (const number of [1, 2]) await minute(number, { target: breaks });
  expect(JSON.stringify([inbox, logged])).not.toContain('canary-7');
});
