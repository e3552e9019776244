import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { beforeAll, expect, it } from 'vitest';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { listFleet, type Of } from '../../../shared/fleet/secrets.ts';
import { clientOf } from '../../integration/rotation/in-process.ts';

const engine = createEngine();
const calls: string[] = [];
const client = clientOf(engine, (operation) => void calls.push(operation));
const listed = async (of?: Of) => (await listFleet(client, of)).map(({ name }) => name);

async function secret(Name: string, tags: Readonly<Record<string, string>>) {
  await engine.CreateSecret({
    Name,
    SecretString: '{}',
    Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
  });
}
const managed = (agent_id: string) => ({ agent_id, managed_by: 'agent-platform' });

beforeAll(async () => {
  await secret('agents/search/credentials', managed('search'));
  await secret('agents/billing-7/credentials', {
    ...managed('billing-7'),
    'keyturn:mirror': 'agents/billing-7/credentials',
  });
  await secret('agents/billing/credentials', managed('billing'));
  await secret('agents/gone/credentials', {
    ...managed('gone'),
    'keyturn:mirror': 'agents/gone/credentials',
  });
  await engine.DeleteSecret({ SecretId: 'agents/gone/credentials' });
  await secret('foreign', { owner: 'agent-platform', managed_by: 'somebody', agent_id: 'billing' });
});

it('lists the secrets of the platform by name, without those of others and those that are being deleted', async () => {
  expect(await listed()).toEqual([
    'agents/billing-7/credentials',
    'agents/billing/credentials',
    'agents/search/credentials',
  ]);
});

it('lists the secrets of the agents that it is asked for, and of none whose name begins like theirs', async () => {
  expect(await listed({ agents: ['billing'] })).toEqual(['agents/billing/credentials']);
  expect(await listed({ agents: ['search', 'billing'] })).toHaveLength(2);
});

it('takes more agents than a filter of ListSecrets does', async () => {
  const agents = ['search', ...Array.from({ length: 20 }, (_, at) => `other-${at}`)];
  expect(await listed({ agents })).toEqual(['agents/search/credentials']);
});

it('lists those with a tag, and where it is told to those that can still be restored', async () => {
  expect(await listed({ tagged: 'keyturn:mirror' })).toEqual(['agents/billing-7/credentials']);
  const all = await listFleet(client, { tagged: 'keyturn:mirror', withDeleted: true });
  expect(all.map(({ agentId, isScheduledForDeletion }) => [agentId, isScheduledForDeletion])).toEqual([
    ['billing-7', false],
    ['gone', true],
  ]);
});

it('makes one call for a hundred secrets, and no call a secret', async () => {
  calls.length = 0;
  await listed();
  expect(calls).toEqual(['ListSecrets']);
});

it('says what failed, by the name of AWS or of the network, and nothing of the request', async () => {
  const unreachable = new SecretsManagerClient({
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
    requestHandler: {
      handle: async () => {
        throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
      },
    },
  });
  await expect(listFleet(unreachable)).rejects.toThrow(/^ListSecrets: ECONNREFUSED$/);
});
