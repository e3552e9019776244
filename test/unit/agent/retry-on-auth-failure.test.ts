import { expect, test } from 'vitest';
import { createAgentSecrets, retryOnAuthFailure } from '../../../agent/index.ts';
import { Store, secret, timeOf, versionIdOf } from './setting.ts';

function agentOn(store = new Store()) {
  return {
    store,
    agent: createAgentSecrets({
      agentId: 'billing-7',
      source: store,
      ...timeOf(store),
    }),
  };
}

/** An API that takes the key of the version in force only. */
const apiOf = (store: Store) => {
  const asked: string[] = [];
  const request = async ({ versionId }: { versionId: string }) => {
    asked.push(versionId);
    return { status: versionId === versionIdOf(store.current) ? 200 : 401 };
  };
  return { asked, request };
};

test('a key that was revoked meanwhile is read again, and the request done once more', async () => {
  const { store, agent } = agentOn();
  const { asked, request } = apiOf(store);
  await agent.get(secret);
  store.rotate();
  await expect(retryOnAuthFailure(agent, secret, request)).resolves.toEqual({ status: 200 });
  expect(asked).toEqual([versionIdOf(0), versionIdOf(1)]);
});

test('a client that throws its refusal is retried as well', async () => {
  const { store, agent } = agentOn();
  const { request } = apiOf(store);
  await agent.get(secret);
  store.rotate();
  const throwing = async (version: { versionId: string }) => {
    const answer = await request(version);
    if (answer.status === 401) throw Object.assign(new Error('Unauthorized'), { statusCode: 401 });
    return answer;
  };
  await expect(retryOnAuthFailure(agent, secret, throwing)).resolves.toEqual({ status: 200 });
});

test('a refusal of the version in force stands: nobody is locked out by a second try', async () => {
  const { agent } = agentOn();
  let asked = 0;
  const refusing = async () => {
    asked += 1;
    return { status: 401 };
  };
  await expect(retryOnAuthFailure(agent, secret, refusing)).resolves.toEqual({ status: 401 });
  expect(asked).toBe(1);
});

test('any other failure is the caller’s, at once', async () => {
  const { store, agent } = agentOn();
  const failing = async () => Promise.reject(Object.assign(new Error('rights'), { status: 403 }));
  await expect(retryOnAuthFailure(agent, secret, failing)).rejects.toThrow('rights');
  expect(store.fetches).toHaveLength(1);
});

test('what a refusal looks like is settable', async () => {
  const { store, agent } = agentOn();
  await agent.get(secret);
  store.rotate();
  const odd = async ({ versionId }: { versionId: string }) =>
    versionId === versionIdOf(1) ? 'ok' : 'bad key';
  const isAuthFailure = (outcome: unknown) => outcome === 'bad key';
  await expect(retryOnAuthFailure(agent, secret, odd, { isAuthFailure })).resolves.toBe('ok');
});
