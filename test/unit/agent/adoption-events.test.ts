import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import { adoptionEvents } from '../../../agent/adoption-events.ts';
import type { AgentLog } from '../../../agent/log.ts';
import { secretArn, secret as secretName, settled, versionIdOf } from './setting.ts';

const bus = mockClient(EventBridgeClient);
afterAll(() => bus.restore());
let warned: unknown[] = [];
const adopted = (log: AgentLog = { warn: (...line) => warned.push(line) }) =>
  adoptionEvents({
    client: async () => new EventBridgeClient({ region: 'eu-central-1' }),
    eventBusName: 'keyturn-prod',
    agentId: 'billing-7',
    instanceId: 'pod-1',
    log,
  });
const at = new Date('2026-11-24T09:00:00Z');
const adoption = { secret: secretArn, secretArn, secretName, versionId: versionIdOf(1), at };
const published = () => bus.commandCalls(PutEventsCommand).flatMap(({ args }) => args[0].input.Entries ?? []);
/** Modules that are loaded when they are needed take more than a turn. */
const cameToRest = async () => {
  await import('@aws-sdk/client-eventbridge');
  await settled();
};

beforeEach(() => {
  bus.reset();
  bus.on(PutEventsCommand).resolves({ FailedEntryCount: 0, Entries: [] });
  warned = [];
});

test('says which instance of which agent uses which version, once', async () => {
  const tell = adopted();
  tell(adoption);
  tell(adoption);
  await cameToRest();
  expect(published()).toHaveLength(1);
  expect(published()[0]).toMatchObject({
    EventBusName: 'keyturn-prod',
    Source: 'keyturn.agent.billing-7',
    DetailType: 'Secret Adopted',
  });
  expect(JSON.parse(published()[0]?.Detail ?? '')).toEqual({
    schemaVersion: 1,
    secret: secretName,
    secretArn,
    agentId: 'billing-7',
    agentInstanceId: 'pod-1',
    versionId: versionIdOf(1),
    adoptedAt: '2026-11-24T09:00:00.000Z',
  });
});

test.each([
  [
    'is denied',
    () => bus.on(PutEventsCommand).rejects(Object.assign(new Error('x'), { name: 'AccessDeniedException' })),
    'AccessDeniedException',
  ],
  [
    'is refused in part',
    () => bus.on(PutEventsCommand).resolves({ FailedEntryCount: 1 }),
    'AdoptionRefusedError',
  ],
])(
  'an event that %s hurts nobody, is logged, and is tried again at the next adoption',
  async (_, fail, errorClass) => {
    fail();
    const tell = adopted();
    tell(adoption);
    await cameToRest();
    expect(warned).toEqual([
      ['An adoption could not be published', { secret: secretArn, versionId: versionIdOf(1), errorClass }],
    ]);
    bus.on(PutEventsCommand).resolves({ FailedEntryCount: 0 });
    tell(adoption);
    await cameToRest();
    expect(published()).toHaveLength(2);
  },
);

test('a log that fails hurts nobody either', async () => {
  const warnedOf = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  bus.on(PutEventsCommand).rejects(new Error('down'));
  adopted({
    warn: () => {
      throw new TypeError('not ready');
    },
  })(adoption);
  await cameToRest();
  expect(warnedOf.mock.calls).toEqual([['A listener of the agent failed: TypeError']]);
  warnedOf.mockRestore();
});

test('a secret that is not in Secrets Manager is none of the bus', async () => {
  adopted()({ secret: 'agents/billing-7/kv', versionId: versionIdOf(1), at });
  await cameToRest();
  expect(published()).toEqual([]);
});
